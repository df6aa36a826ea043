"""Training rows of many users as files by bucket, which workers read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.core.hashing import bucket_of
from hydra_ray.training.user_lora.rows import LoraRow
from hydra_ray.utils.atomic_io import write_atomically

SCHEMA = pa.schema([("user_id", pa.string()), ("prompt", pa.large_string()), ("answer", pa.large_string())])


def write_rows(folder: Path, rows: Iterable[LoraRow], buckets: int) -> dict[int, list[str]]:
    """Writes rows by their users' bucket; returns bucket -> ids of its users, in the order of their first rows.

    Args:
        folder: Made where it is missing; files of an earlier attempt are replaced.
        rows: Each user's in order.
        buckets: The fixed count behind user -> bucket.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_bucket: dict[int, list[LoraRow]] = {}
    for row in rows:
        by_bucket.setdefault(bucket_of(row.user_id, buckets), []).append(row)
    for bucket, found in by_bucket.items():
        columns = {name: [getattr(row, name) for row in found] for name in SCHEMA.names}
        with write_atomically(file_of(folder, bucket)) as unfinished:
            pq.write_table(pa.table(columns, SCHEMA), unfinished, compression="zstd")
    return {bucket: users_of(found) for bucket, found in sorted(by_bucket.items())}


def read_rows(folder: Path, bucket: int) -> list[LoraRow]:
    """A bucket's rows, each user's in order."""
    table = pq.read_table(file_of(folder, bucket))
    return [LoraRow(**row) for row in table.to_pylist()]


def users_of(rows: Sequence[LoraRow]) -> list[str]:
    """The users of rows, each once, in the order of their first rows."""
    return list(dict.fromkeys(row.user_id for row in rows))


def file_of(folder: Path, bucket: int) -> Path:
    """Where a bucket's rows lie."""
    return folder / f"bucket-{bucket:06d}.parquet"
