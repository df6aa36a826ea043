"""All rows of a file or folder as they stand, whatever their columns are."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import DataConfig
from hydra_ray.data.formats.csv_rows import csv_rows
from hydra_ray.data.formats.files import READ_ERRORS, Broken, byte_lines, form_of, unpacked
from hydra_ray.data.formats.json_rows import json_rows, jsonl_rows
from hydra_ray.data.rejects import excerpt
from hydra_ray.data.sources.find import Source, data_root, find_sources
from hydra_ray.errors import UserError

MOST_ROWS = 1_000_000
_BATCH_ROWS = 256
ROWS = "a JSON file is a list of objects, JSON Lines has one object a line"


def read_rows(place: str) -> Iterator[dict[str, Any]]:
    """The rows of a file, a folder or a URL, at most MOST_ROWS; lines that cannot be read are left to `ingest`.

    Raises UserError: nothing there, an unknown form, a file that is cut off, and not one row that can be read.
    """
    data = DataConfig(source="tabular", root=place)
    sources = find_sources(data, data_root(data))
    yield from islice(_objects(place, sources), MOST_ROWS)


def _objects(place: str, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
    first, found = "", False
    for source in sources:
        for number, row in _rows(source):
            if isinstance(row, dict):
                found = True
                yield row
            elif row is not None and not first:
                why = row.why if isinstance(row, Broken) else f"is no object; {ROWS}"
                first = f"{source.where}: line {number} {why}"
    if not found:
        advice = "convert it to UTF-8" if "UTF-8" in first else "repair it, or write it again"
        nothing = f"{place}: holds no rows: give a file with one item a row"
        raise UserError(f"{first}; no row can be read: {advice}" if first else nothing)


def _rows(source: Source) -> Iterator[tuple[int, Any]]:
    form, packing = form_of(source.name) or ("", "")
    folders = dict(source.columns)
    with ExitStack() as stack:
        stream = stack.enter_context(source.open())
        try:
            if form == ".parquet":
                rows: Iterator[tuple[int, Any]] = enumerate(_parquet(stream))
            elif form == ".json":
                rows = json_rows(unpacked(stream, packing), source.where)
            elif form in (".csv", ".tsv"):
                delimiter = "\t" if form == ".tsv" else None
                rows = csv_rows(unpacked(stream, packing), source.where, delimiter)
            else:
                rows = jsonl_rows(byte_lines(unpacked(stream, packing)))
            yield from ((number, {**folders, **row} if isinstance(row, dict) else row) for number, row in rows)
        except READ_ERRORS as error:
            raise UserError(
                f"{source.where}: cut off or damaged: {excerpt(str(error))}: write or download the file again"
            ) from None


def _parquet(stream: Any) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(stream) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            columns = {name: _plain(batch.column(name)) for name in batch.schema.names}
            for i in range(batch.num_rows):
                yield {name: values[i] for name, values in columns.items()}


def _plain(column: Any) -> list[Any]:
    """Values as text files would hold them: moments as ISO 8601, bytes as text."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if value is None else value.decode(errors="replace") for value in values]
    return values
