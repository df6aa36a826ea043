"""Rows of Parquet: each wanted column is read by its type and by what it is for, or refused by both."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hydra_ray.core.dates import Ticks
from hydra_ray.data.formats.columns import Columns
from hydra_ray.data.rejects import excerpt
from hydra_ray.errors import UserError

_BATCH_ROWS = 256
Role = Literal["id", "text", "date"]
_READ = {
    "id": "text, whole numbers, decimals, UUIDs",
    "text": "text, numbers",
    "date": "text, numbers, dates, timestamps",
}


def parquet_rows(stream: Any, where: str, roles: Mapping[str, Role], columns: Columns) -> Iterator[tuple[int, Any]]:
    """Row number from 0 and the values by column, of the columns in `roles` that there are; `a.b` is a field within a.

    columns: called with the names there are. Raises UserError: no Parquet file, cut off, a column of a type that
    cannot mean what it is for, bytes that are not UTF-8.
    """
    position = 0
    try:
        with pq.ParquetFile(stream) as file:
            schema = file.schema_arrow
            columns.names.update(_names(schema))
            paths = {name: path for name in roles if (path := _path(schema, name))}
            _check_types(where, schema, paths, roles)
            tops = sorted({path[0] for path in paths.values()})
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=tops, use_threads=False):
                values = {
                    name: _values(_column(batch, path), roles[name], f"{where}: column {name!r}", position)
                    for name, path in paths.items()
                }
                for i in range(batch.num_rows):
                    yield position + i, {name: column[i] for name, column in values.items()}
                position += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{where}: not a Parquet file, or cut off, at row {position} (counted from 0): "
            f"{excerpt(str(error))}: write or download the file again"
        ) from None


def _names(schema: Any) -> list[str]:
    names = []
    for field in schema:
        names.append(field.name)
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{inner.name}" for inner in field.type]
    return names


def _path(schema: Any, name: str) -> tuple[str, ...]:
    """The names that lead to a column, () if there is none."""
    if name in schema.names:
        return (name,)
    first, *rest = name.split(".")
    if not rest or first not in schema.names:
        return ()
    kind = schema.field(first).type
    for part in rest:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return ()
        kind = kind.field(part).type
    return (first, *rest)


def _check_types(where: str, schema: Any, paths: Mapping[str, tuple[str, ...]], roles: Mapping[str, Role]) -> None:
    wrong = [f"there are several columns {first!r}" for first in sorted({path[0] for path in paths.values()})
             if schema.names.count(first) > 1]  # fmt: skip
    if wrong:
        raise UserError(f"{where}: {'; '.join(wrong)}: rename one of them when writing the file")
    for name, (first, *rest) in paths.items():
        kind = schema.field(first).type
        for part in rest:
            kind = kind.field(part).type
        if not _is_readable(kind, roles[name]):
            wrong.append(f"column {name!r} is {kind}, which is no {roles[name]} ({_READ[roles[name]]})")
    if wrong:
        raise UserError(f"{where}: {'; '.join(wrong)}: cast it when writing the file, or name another column")


def _is_readable(kind: Any, role: Role) -> bool:
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _is_readable(kind.value_type, role)
    if isinstance(kind, pa.BaseExtensionType):
        return (_is_uuid(kind) and role != "date") or (not _is_uuid(kind) and _is_readable(kind.storage_type, role))
    if _is_bytes(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    if types.is_null(kind) or types.is_integer(kind) or types.is_decimal(kind) or types.is_floating(kind):
        return True
    if role == "date":
        return bool(types.is_date(kind) or types.is_timestamp(kind))
    return role == "text" and bool(types.is_boolean(kind))


def _is_uuid(kind: Any) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def _is_bytes(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )  # fmt: skip


def _column(batch: Any, path: tuple[str, ...]) -> Any:
    column = batch.column(path[0])
    return pc.struct_field(column, list(path[1:])) if len(path) > 1 else column


def _values(column: Any, role: Role, where: str, position: int) -> list[Any]:
    """The column's values for Python. position: of its first row, for errors."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode(), role, where, position)
    if pa.types.is_run_end_encoded(kind):
        return _values(pc.run_end_decode(column), role, where, position)
    if isinstance(kind, pa.BaseExtensionType):
        if _is_uuid(kind):
            return [None if value is None else str(value) for value in column.to_pylist()]
        return _values(column.storage, role, where, position)
    if _is_bytes(kind):
        return _decoded(column, where, position, kind)
    if pa.types.is_date(kind):
        days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if day is None else Ticks(day, "D") for day in days]
    if pa.types.is_timestamp(kind):
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else Ticks(count, kind.unit) for count in counts]
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:  # string columns are not checked when they are written
        return _decoded(column.cast(pa.large_binary()), where, position, kind)
    return values


def _decoded(column: Any, where: str, position: int, kind: Any) -> list[str | None]:
    values: list[str | None] = []
    for i, value in enumerate(column.to_pylist()):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            raise UserError(
                f"{where} is {kind}, which is read as UTF-8, and row {position + i} (counted from 0) is none: "
                "write the column as a string"
            ) from None
    return values
