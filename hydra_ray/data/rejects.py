"""What could not be used, or only in part: nothing of the input vanishes without a line here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

REASONS = {
    "malformed_record": "a record that is not an object with the fields of the layout; its items go with it",
    "duplicate_question": "a question whose id an earlier record of the file has; the whole record is left out",
    "empty_question": "a question without text",
    "question_without_gold": "a question without the gold answer it needs",
    "unusable_gold": "a gold answer that is empty, no text, or none of the task's labels",
    "question_of_other_split": "a user of both splits belongs to one of them; the other's questions are left out",
    "malformed_gold": "an entry of the outputs file that is not an object with id and output",
    "duplicate_gold": "an entry of the outputs file whose id an earlier one has",
    "gold_without_question": "a gold answer whose id no question has",
    "malformed_item": "a history item that is not an object, has no id, or a text field that is no text",
    "missing_answer": "a history item without the user's answer",
    "answer_not_a_label": "a history item whose answer is none of the task's labels",
    "empty_text": "a history item without text",
    "conflicting_item": "an item with an id of an item with other content; the first in the order of the files stays",
    "missing_user": "a row without user id",
    "broken_line": "a line that cannot be read; `data.tabular.bad_lines` says how many may be",
    "not_older": "an item as new as the user's questions, hence in no question's history",
    "early_question": "a question from before `data.questions_after`, or without a date",
    "late_item": "an item that is not over before `data.questions_after`, or has no date",
    "old_item": "an item that is older than the newest `data.max_history`",
    "malformed_date": "kept without a date: the date cannot be read",
    "undated_item": "kept, but neither asked nor seen by a question: it has no date",
    "newer_item": "kept, but not in the history of this question, which is older",
    "marker_missing": "kept whole: the question's input lacks the task's question_marker",
}
KEPT = frozenset({"malformed_date", "undated_item", "newer_item", "marker_missing"})
"""Reasons whose record was used all the same: warnings."""

SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "record", "reason", "detail")])
_DETAIL_CHARS = 300
_GROUP = 2048


@dataclass(frozen=True, slots=True)
class Reject:
    """source: file. record: position in it (from 0; lines from 1), id. reason: a key of REASONS. detail: the value."""

    source: str
    record: str
    reason: str
    detail: str = ""


def excerpt(value: Any) -> str:
    """`value` as one short line."""
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= _DETAIL_CHARS else text[: _DETAIL_CHARS - 3] + "..."


class RejectWriter:
    """Writes rejects to one Parquet file (zstd, small row groups); no reject, no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Reject] = []
        self._writer: Any = None

    def add(self, reject: Reject) -> None:
        self._rows.append(reject)
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        columns = {name: [getattr(row, name) for row in self._rows] for name in SCHEMA.names}
        self._writer.write_table(pa.table(columns, schema=SCHEMA))
        self._rows = []

    def __enter__(self) -> "RejectWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()


def read_rejects(directory: Path) -> Iterator[Reject]:
    """The rejects of an ingested data set, in the order of its files."""
    for path in sorted((directory / "rejects").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_GROUP, use_threads=False):
                yield from (Reject(**row) for row in batch.to_pylist())
