"""Gold answers and question ids of one split, on disk: joins the two files in constant memory, whatever their order."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra_ray.data.formats.fields import id_of
from hydra_ray.data.formats.json_stream import stream_under, value_under
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.scratch_database import ScratchDatabase
from hydra_ray.data.sources.find import Source

LAYOUT = 'a LaMP outputs file ({"task", "golds": [...]})'


class GoldIndex(ScratchDatabase):
    """question id -> gold answer, and which ids have been asked. A context manager: leaving it removes its file."""

    def __init__(self) -> None:
        super().__init__("gold (id TEXT PRIMARY KEY, answer TEXT, asked INTEGER)", "hydra_ray_golds_")
        self.loaded = 0
        self.matched = 0

    def load(self, path: Path, source: str) -> Iterator[Reject]:
        """Read an outputs file; yields its unusable entries. Raises UserError if it is not one (see `json_stream`)."""
        for position, entry in enumerate(stream_under(path, "golds", LAYOUT)):
            key = id_of(entry.get("id")) if isinstance(entry, dict) else ""
            if not key or "output" not in entry:
                yield Reject(source, str(position), "malformed_gold", excerpt(entry))
                continue
            added = self._db.execute("INSERT OR IGNORE INTO gold VALUES (?, ?, 0)", (key, json.dumps(entry["output"])))
            if added.rowcount == 0:
                yield Reject(source, f"{position}:{key}", "duplicate_gold", excerpt(entry["output"]))
            else:
                self.loaded += 1

    def ask(self, question_id: str) -> tuple[Literal["found", "missing", "repeated"], Any]:
        """Whether the question has a gold answer, and the answer; `repeated` if it has been asked before."""
        row = self._db.execute("SELECT answer, asked FROM gold WHERE id = ?", (question_id,)).fetchone()
        if row is None:
            self._db.execute("INSERT INTO gold VALUES (?, NULL, 1)", (question_id,))
            return "missing", None
        if row[1]:
            return "repeated", None
        self._db.execute("UPDATE gold SET asked = 1 WHERE id = ?", (question_id,))
        self.matched += 1
        return "found", json.loads(row[0])

    def unasked(self) -> Iterator[str]:
        """The ids with a gold answer that no question had."""
        for (key,) in self._db.execute("SELECT id FROM gold WHERE asked = 0 ORDER BY id"):
            yield key


def lamp_id_of(sources: Sequence[Source]) -> str | None:
    """The task id in the outputs files that belong to `sources`, the last one's first: what predictions carry.

    None where no file names one (OPPU's histories, rows of one's own).
    """
    found = (task_id_of(source.outputs) for source in reversed(sources) if source.outputs)
    return next((task_id for task_id in found if task_id), None)


def task_id_of(path: Path) -> str | None:
    """The task id that an outputs file names, None if it names none."""
    value = value_under(path, "task", LAYOUT)
    return value if isinstance(value, str) else None
