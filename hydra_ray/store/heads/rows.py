"""Users and their arrays as Arrow rows with a checksum each, and back. Pure; no files.

A row: user_id (string), bucket (int32), crc (uint32), values (one user's arrays flattened, one after the other in the
order of `HeadSpec.shapes`, little-endian). N: users. P: numbers per user.
"""

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.spec import HeadSpec

Arrays = dict[str, NDArray[np.float32]]
COLUMNS = ("user_id", "bucket", "crc", "values")


def schema(spec: HeadSpec) -> pa.Schema:
    """The columns of a store of `spec`, with the spec as metadata."""
    value = pa.float32() if spec.dtype == "float32" else pa.float16()
    types = (pa.string(), pa.int32(), pa.uint32(), pa.list_(pa.field("item", value, nullable=False), spec.size))
    columns = [pa.field(name, kind, nullable=False) for name, kind in zip(COLUMNS, types, strict=True)]
    return pa.schema(columns, metadata=spec.to_metadata())


def to_table(spec: HeadSpec, user_ids: Sequence[str], arrays: Mapping[str, NDArray[np.floating]]) -> pa.Table:
    """One row per user; arrays: name -> [N, *shape].

    Raises UserError, naming the user, for a user given twice, an id that is no text, a value that is NaN, infinite or
    too large for the dtype; and for arrays that are not those of the spec.
    """
    _check_users(user_ids)
    values_NP = _flatten(spec, len(user_ids), arrays)
    finite_N = np.isfinite(values_NP).all(axis=1)
    if not finite_N.all():
        bad = [user for user, finite in zip(user_ids, finite_N, strict=True) if not finite]
        raise UserError(f"head of user {bad[0]!r}{_more(bad)} holds NaN, infinity or a number too large for "
                        f"{spec.dtype}; nothing was written, fit the user again")  # fmt: skip
    columns = (
        pa.array(user_ids, pa.string()),
        pa.array([bucket_of(user, spec.buckets) for user in user_ids], pa.int32()),
        pa.array(checksums(user_ids, values_NP)),
        pa.FixedSizeListArray.from_arrays(pa.array(values_NP.reshape(-1)), type=schema(spec).field("values").type),
    )
    return pa.Table.from_arrays(columns, schema=schema(spec))


def checksums(user_ids: Sequence[str], values_NP: NDArray[np.floating]) -> NDArray[np.uint32]:
    """CRC-32 of each row's id (UTF-8) and values: uint32 [N]."""
    raw, size = np.ascontiguousarray(values_NP).view(np.uint8).reshape(-1).data, values_NP[:1].nbytes
    sums = [crc32(raw[i * size : (i + 1) * size], crc32(user.encode())) for i, user in enumerate(user_ids)]
    return np.array(sums, np.uint32)


def values_of(spec: HeadSpec, batch: pa.RecordBatch) -> NDArray[np.floating]:
    """The values as stored, [N, P]; a view of the batch."""
    values_NP: NDArray[np.floating] = batch["values"].flatten().to_numpy().reshape(-1, spec.size)
    return values_NP


def faulty(spec: HeadSpec, batch: pa.RecordBatch) -> list[tuple[int, str]]:
    """The rows of a batch with all columns that are not as they were written: (row, what is wrong)."""
    try:
        users: list[str] = batch["user_id"].to_pylist()
        sums_N = checksums(users, values_of(spec, batch))
    except (ValueError, AttributeError):  # an id that is no UTF-8, a null where none can be
        return [(row, "the columns of a row cannot be read") for row in range(batch.num_rows)]
    broken = np.flatnonzero(sums_N != batch["crc"].to_numpy())
    found = {int(row): "the checksum of a row does not match" for row in broken}
    for row, (user, bucket) in enumerate(zip(users, batch["bucket"].to_pylist(), strict=True)):
        if bucket != bucket_of(user, spec.buckets):
            found.setdefault(row, f"user {user!r} belongs to bucket {bucket_of(user, spec.buckets)}")
    return sorted(found.items())


def split(spec: HeadSpec, values_NP: NDArray[np.float32]) -> Arrays:
    """[N, P] -> name -> [N, *shape], views where possible."""
    arrays: Arrays = {}
    start = 0
    for name, shape in spec.shapes.items():
        stop = start + int(np.prod(shape))
        arrays[name] = values_NP[:, start:stop].reshape(len(values_NP), *shape)
        start = stop
    return arrays


def _check_users(user_ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for user in user_ids:
        if not isinstance(user, str) or not user or any("\ud800" <= letter <= "\udfff" for letter in user):
            raise UserError(f"{user!r} is no user id and belongs to no bucket: an id is a text that is not empty")
        if user in seen:
            raise UserError(f"user {user!r} is given twice in one write; merge the two heads or drop one")
        seen.add(user)


def _flatten(spec: HeadSpec, users: int, arrays: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
    if set(arrays) != set(spec.shapes):
        raise UserError(
            f"head store of kind {spec.kind!r} takes the arrays {sorted(spec.shapes)}, got {sorted(arrays)}"
        )
    for name, shape in spec.shapes.items():
        if arrays[name].shape != (users, *shape):
            raise UserError(f"heads: {name} has the shape {arrays[name].shape}, {(users, *shape)} is needed")
    out_NP = np.empty((users, spec.size), spec.dtype)
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        for name, part in split(spec, out_NP).items():
            part[...] = arrays[name]
    return out_NP


def _more(bad: Sequence[str]) -> str:
    return f" (and of {len(bad) - 1} more)" if len(bad) > 1 else ""
