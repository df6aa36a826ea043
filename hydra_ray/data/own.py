"""A user's own histories: plain rows in Parquet or JSON Lines, one item a row, no questions."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import OwnConfig
from hydra_ray.core.records import Split
from hydra_ray.core.tasks import Task
from hydra_ray.data.fields import ItemParser, Layout, id_of
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources import Source
from hydra_ray.errors import UserError

_BATCH_ROWS = 256


def split_of(user_id: str, test_share: float) -> Split:
    """`test` for about `test_share` of all users: by a hash of the id, so it stays the same however many users come.

    Salted, so that it is independent of the user's bucket.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, salt=b"split").digest()
    return "test" if int.from_bytes(digest, "little") < test_share * 2**64 else "train"


def scan_own(source: Source, task: Task, own: OwnConfig) -> Iterator[SourceRow | Reject]:
    """One SourceRow with one item per usable row, and every reject.

    Positions count rows from 0 in Parquet and lines from 1 in JSON Lines. Raises UserError: a column that `own` or the
    task names is missing, a file that is not what its suffix says or is cut off, a task whose items have no answer.
    """
    if task.answer_field is None:
        raise UserError(
            f"data.task: items of {task.name} have no answer_field, so no question can be made of them: "
            "give a task whose items have one"
        )
    wanted = {"own.user_field": own.user_field, "own.id_field": own.id_field, "answer_field": task.answer_field}
    if own.date_field:
        wanted["own.date_field"] = own.date_field
    wanted.update({f"text_fields[{i}]": name for i, name in enumerate(task.text_fields)})
    columns = sorted({*wanted.values(), *task.corpus})
    rows = _parquet(source, wanted, columns) if source.path.suffix == ".parquet" else _jsonl(source, wanted)
    parser = ItemParser(task, Layout(own.id_field, own.date_field))
    for position, raw in rows:
        record = str(position)
        if not isinstance(raw, dict):
            yield Reject(source.name, record, "malformed_item", excerpt(raw))
            continue
        user_id = id_of(raw.get(own.user_field))
        if not user_id:
            yield Reject(source.name, record, "missing_user", excerpt(raw))
            continue
        item, notes = parser.parse(raw, source.name, record)
        yield from notes
        if item is not None:
            yield SourceRow(user_id, split_of(user_id, own.test_share), source.index, position, (item,))


def _demand(source: Source, wanted: dict[str, str], present: Iterable[str]) -> None:
    has = set(present)
    for setting, name in wanted.items():
        if name not in has:
            advice = ", or own.date_field: null if there are no dates" if setting == "own.date_field" else ""
            raise UserError(
                f"{source.path}: no column {name!r} ({setting}), it has {', '.join(sorted(has))}: "
                f"name the right one in {'the config' if setting.startswith('own.') else 'the task'}{advice}"
            )


def _parquet(source: Source, wanted: dict[str, str], columns: list[str]) -> Iterator[tuple[int, Any]]:
    position = 0
    try:
        with pq.ParquetFile(source.path) as file:
            present = file.schema_arrow.names
            _demand(source, wanted, present)
            columns = [name for name in columns if name in present]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    yield position, row
                    position += 1
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{source.path}: not a Parquet file, or cut off, at row {position} (counted from 0): "
            f"{excerpt(str(error))}: write or download the file again"
        ) from None


def _jsonl(source: Source, wanted: dict[str, str]) -> Iterator[tuple[int, Any]]:
    unchecked = True
    with source.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = _loads(line)
            except ValueError:
                why = "is not JSON" if line.endswith(b"\n") else "is cut off or not JSON"
                raise UserError(
                    f"{source.path}: line {number} {why}: JSON Lines has one object a line; repair or remove the line"
                ) from None
            if unchecked:
                if not isinstance(row, dict):
                    raise UserError(f"{source.path}: line {number} is no object: JSON Lines has one object a line")
                _demand(source, wanted, row)
                unchecked = False
            yield number, row


def _loads(line: bytes) -> Any:
    """As `json.loads`, with `?` for halves of surrogate pairs, which are no text. Raises ValueError."""
    if b"\\ud" not in line.lower():
        return json.loads(line)
    whole = json.dumps(json.loads(line), ensure_ascii=False)
    return json.loads(whole.encode("utf-8", "replace"))
