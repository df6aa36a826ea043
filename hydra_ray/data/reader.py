"""Reading users back from an ingested data set (the folder with `users/`, `rejects/` and `counts.json`)."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import Split, User, user_from_row
from hydra_ray.data.users_writer import SCHEMA, bucket_path
from hydra_ray.errors import UserError

__all__ = ["SCHEMA", "list_users", "read_counts", "read_users", "users_dataset"]

_BATCH_USERS = 64
_LISTED = ["user_id", "split", "n_items", "n_questions"]
_READ = ["user_id", "split", "items", "questions"]


def read_counts(directory: Path) -> dict[str, Any]:
    """What `ingest` counted. Raises UserError if `directory` is no ingested data set."""
    try:
        counts: dict[str, Any] = json.loads((directory / "counts.json").read_text())
    except (OSError, ValueError):
        raise UserError(f"{directory}: no ingested data set (no counts.json): run the ingest step first") from None
    return counts


def _files(directory: Path, user_ids: Collection[str] | None = None) -> list[Path]:
    """The Parquet files in the order of the buckets: all, or those of the buckets of `user_ids`."""
    buckets = int(read_counts(directory)["buckets"])
    if user_ids is None:
        return sorted((directory / "users").glob("bucket=*/part-*.parquet"))
    wanted = sorted({bucket_of(user_id, buckets) for user_id in user_ids})
    return [path for bucket in wanted if (path := bucket_path(directory, bucket)).exists()]


def read_users(directory: Path, split: Split | None = None, user_ids: Collection[str] | None = None) -> Iterator[User]:
    """The users, bucket by bucket, in an order that is the same every time; a bounded number is in memory at once.

    split, user_ids: only these users. Opens only the files of their buckets, and decodes items and questions only of
    row groups that hold one of them. Ids that do not exist are passed over. Raises UserError: no ingested data set.
    """
    wanted = None if user_ids is None else set(user_ids)
    for path in _files(directory, wanted):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                keys = file.read_row_group(group, columns=["user_id", "split"], use_threads=False)
                keep = [
                    (split is None or its_split == split) and (wanted is None or user_id in wanted)
                    for user_id, its_split in zip(*(keys.column(i).to_pylist() for i in range(2)), strict=True)
                ]
                if any(keep):
                    yield from _users(file, group, keep)


def _users(file: Any, group: int, keep: list[bool]) -> Iterator[User]:
    start = 0
    for batch in file.iter_batches(_BATCH_USERS, row_groups=[group], columns=_READ, use_threads=False):
        kept = keep[start : start + batch.num_rows]
        start += batch.num_rows
        if any(kept):
            yield from (user_from_row(row) for row in batch.filter(pa.array(kept)).to_pylist())


def list_users(directory: Path) -> Any:
    """A pyarrow Table (user_id, split, n_items, n_questions), one row a user; reads no text.

    Same order as `read_users`. Raises UserError: no ingested data set.
    """
    tables = [pq.read_table(path, columns=_LISTED, partitioning=None) for path in _files(directory)]
    return pa.concat_tables(tables) if tables else pa.schema([SCHEMA.field(n) for n in _LISTED]).empty_table()


def users_dataset(directory: Path) -> Any:
    """The users as a Ray Dataset with the columns of SCHEMA. Needs a running Ray; raises UserError as above."""
    from hydra_ray.utils.ray_data import read_parquet

    return read_parquet([str(path) for path in _files(directory)])
