"""Which columns a user's own rows need, and whether any row has them: the union of all rows, not the first one's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.config import TabularConfig
from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.fields import has_field

_WITHOUT = {
    "tabular.id_field": ", or tabular.id_field: null to make ids from the rows",
    "tabular.date_field": ", or tabular.date_field: null if there are no dates",
}
_NAMES = 64
_LISTED_ROWS = 1000


def wanted_columns(task: Task, tabular: TabularConfig) -> dict[str, str]:
    """Setting -> column, for every column that must be there."""
    wanted = {"tabular.user_field": tabular.user_field}
    if tabular.id_field:
        wanted["tabular.id_field"] = tabular.id_field
    if task.answer_field:
        wanted["answer_field"] = task.answer_field
    if tabular.date_field:
        wanted["tabular.date_field"] = tabular.date_field
    wanted.update({f"text_fields[{i}]": name for i, name in enumerate(task.text_fields)})
    return wanted


@dataclass(slots=True)
class Columns:
    """What the rows of one file have of `wanted`.

    rows: how many there are. lines: these, and those that are broken or no rows. names: columns there are, some of
    many.
    """

    wanted: Mapping[str, str]
    rows: int = 0
    lines: int = 0
    seen: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def note(self, row: Mapping[str, Any]) -> None:
        """Take another row into account."""
        self.rows += 1
        if len(self.seen) < len(self.wanted):
            self.seen.update(setting for setting, name in self.wanted.items() if has_field(row, name))
        if self.rows <= _LISTED_ROWS and len(self.names) < _NAMES:
            self.names.update(row)
            for name, value in row.items():
                if isinstance(value, Mapping):
                    self.names.update(f"{name}.{inner}" for inner in value)

    def counts(self) -> dict[str, int]:
        """For the tally: `missing_columns` reads it."""
        seen = {f"seen/{setting}": 1 for setting in self.seen}
        return {"rows": self.rows, "lines": self.lines, **seen, **{f"column/{name}": 1 for name in self.names}}


def missing_columns(counts: Mapping[str, int], task: Task, tabular: TabularConfig, where: str) -> str:
    """The one line for the columns that no row of any file has, "" if there are none.

    counts: of all files, added up. where: the file, or the folder where there are several.
    """
    wanted = wanted_columns(task, tabular)
    missing = [setting for setting in wanted if counts.get("rows") and not counts.get(f"seen/{setting}")]
    if not missing:
        return ""
    names = sorted(key.removeprefix("column/") for key in counts if key.startswith("column/"))
    first, *others = missing
    place = "the config" if first.startswith("tabular.") else "the task"
    more = f"; nor has it {' or '.join(f'{wanted[setting]!r} ({setting})' for setting in others)}" if others else ""
    return (
        f"{where}: no column {wanted[first]!r} ({first}), it has {', '.join(names)}: "
        f"name the right one in {place}{_WITHOUT.get(first, '')}{more}"
    )
