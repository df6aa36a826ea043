"""Tables (`data.source: tabular`): one history item a row, in any of the common file formats, without questions."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.config import TabularConfig
from hydra_ray.core.date_format import DateReader
from hydra_ray.core.hashing import split_of
from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.columns import Columns, wanted_columns
from hydra_ray.data.formats.csv_rows import csv_rows
from hydra_ray.data.formats.fields import ItemParser, Layout, id_of, lookup
from hydra_ray.data.formats.files import READ_ERRORS, Broken, byte_lines, form_of, unpacked
from hydra_ray.data.formats.json_rows import JSONL, json_rows, jsonl_rows
from hydra_ray.data.formats.parquet_rows import Role, parquet_rows
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources.find import Source
from hydra_ray.errors import UserError

_SHOWN = 10


def scan_tabular(source: Source, task: Task, tabular: TabularConfig) -> Iterator[SourceRow | Reject | Columns]:
    """One SourceRow with one item per usable row, every reject, and last which columns the rows have.

    Positions count rows from 0 in Parquet and JSON lists, and lines from 1 elsewhere. Raises UserError: a file that is
    not what its suffix says or is cut off, more broken lines than `data.tabular.bad_lines` (all in one line), a task
    whose items have no answer. Whether a column is missing is known when all files are read: `columns.missing_columns`.
    """
    if task.answer_field is None:
        raise UserError(
            f"data.task: items of {task.name} have no answer_field, so no question can be made of them: "
            "give a task whose items have one"
        )
    columns = Columns(wanted_columns(task, tabular))
    mistakes = _Mistakes(source, tabular.bad_lines)
    parser = ItemParser(
        task, Layout(tabular.id_field, tabular.date_field, DateReader(tabular.date_format), make_ids=True)
    )
    folders = dict(source.columns)
    for position, raw in _rows(source, task, tabular, columns):
        record = str(position)
        columns.lines += 1
        if isinstance(raw, Broken):
            mistakes.add(position, raw)
            yield Reject(source.name, record, "broken_line", excerpt(f"{raw.why}: {raw.shown}"))
            continue
        mistakes.rows += 1
        if not isinstance(raw, dict):
            mistakes.add_other(position)
            yield Reject(source.name, record, "malformed_item", excerpt(raw))
            continue
        if folders:
            raw = {**folders, **raw}
        columns.note(raw)
        user_id = id_of(lookup(raw, tabular.user_field))
        if not user_id:
            yield Reject(source.name, record, "missing_user", excerpt(raw))
            continue
        item, notes = parser.parse(raw, source.name, record)
        yield from notes
        if item is not None:
            yield SourceRow(user_id, split_of(user_id, tabular.test_share), source.index, position, (item,))
    mistakes.check(objects=columns.rows)
    yield columns


def _rows(source: Source, task: Task, tabular: TabularConfig, columns: Columns) -> Iterator[tuple[int, Any]]:
    form, packing = form_of(source.name) or ("", "")
    done = 0
    with ExitStack() as stack:
        stream = source.path if form == ".parquet" and not source.url else stack.enter_context(source.open())
        if form == ".parquet":
            yield from parquet_rows(stream, source.where, _roles(task, tabular), columns)
            return
        try:
            plain = unpacked(stream, packing)
            if form == ".json":
                rows = json_rows(plain, source.where)
            elif form in (".csv", ".tsv"):
                rows = csv_rows(plain, source.where, "\t" if form == ".tsv" else None)
            else:
                rows = jsonl_rows(byte_lines(plain))
            for done, row in rows:
                yield done, row
        except (*READ_ERRORS, UnicodeError) as error:
            raise UserError(
                f"{source.where}: cut off or damaged after row {done}: {excerpt(str(error))}: "
                "write or download the file again"
            ) from None


def _roles(task: Task, tabular: TabularConfig) -> dict[str, Role]:
    """What each wanted column of a typed table is for."""
    roles: dict[str, Role] = dict.fromkeys((*task.corpus, *task.text_fields), "text")
    if task.answer_field:
        roles[task.answer_field] = "text"
    if tabular.date_field:
        roles.setdefault(tabular.date_field, "date")
    for name in (tabular.id_field, tabular.user_field):
        if name:
            roles.setdefault(name, "id")
    return roles


@dataclass(slots=True)
class _Mistakes:
    """The broken lines of one file. rows: what could be read. shown, others: what to say, and of how many lines."""

    source: Source
    tolerated: float
    rows: int = 0
    count: int = 0
    shown: list[tuple[str, int]] = field(default_factory=list)
    others: list[tuple[str, int]] = field(default_factory=list)

    def add(self, line: int, broken: Broken) -> None:
        self.count += broken.lines
        if len(self.shown) < _SHOWN:
            self.shown.append((f"line {line} {broken.why}", broken.lines))

    def add_other(self, line: int) -> None:
        if len(self.others) < _SHOWN:
            self.others.append((f"line {line} is no object", 1))

    def check(self, objects: int) -> None:
        """Raises UserError that names all of them: more than are tolerated, or not one row that is an object."""
        form = (form_of(self.source.name) or ("", ""))[0]
        rule = f"{JSONL}; " if form in (".jsonl", ".ndjson") else ""
        if form == ".json":
            rule = "a JSON file is one list of objects, or has one object a line; "
        shown, count = self.shown, self.count
        if not objects and self.others:
            shown, count = shown + self.others, count + self.rows
        elif count <= self.tolerated * (self.rows + count):
            return
        shown = shown[:_SHOWN]
        what = ", ".join(words for words, _ in shown)
        if count == 1:
            raise UserError(f"{self.source.where}: {what}: {rule}repair or remove the line")
        total = self.rows + self.count
        unnamed = count - sum(lines for _, lines in shown)
        more = f" and {unnamed} more" if unnamed else ""
        share = -(-1000 * count // total) / 1000
        advice = f", or set data.tabular.bad_lines={share:g}" if objects else ""
        raise UserError(
            f"{self.source.where}: {count} of {total} lines are broken: {what}{more}: "
            f"{rule}repair or remove the lines{advice}"
        )
