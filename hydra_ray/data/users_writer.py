"""Writes users to `users/bucket=00012/part-0.parquet`: one row a user, zstd, row groups of bounded size."""

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.core.types import User, user_to_row

_ITEM = pa.struct([(name, pa.string()) for name in ("item_id", "text", "corpus", "answer", "date")])
_QUESTION = pa.struct(
    [
        ("question_id", pa.string()),
        ("text", pa.string()),
        ("gold", pa.string()),
        ("history", pa.list_(pa.int32())),
        ("date", pa.string()),
        ("head", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("bucket", pa.int32()),
        ("split", pa.string()),
        ("n_items", pa.int32()),
        ("n_questions", pa.int32()),
        ("items", pa.list_(_ITEM)),
        ("questions", pa.list_(_QUESTION)),
    ]
)
"""`core.records.user_to_row` and the lengths of its two lists, which spare a listing from reading them."""

GROUP_BYTES = 2 << 20
GROUP_USERS = 1024


def bucket_path(directory: Path, bucket: int) -> Path:
    return directory / "users" / f"bucket={bucket:05d}" / "part-0.parquet"


def _size(user: User) -> int:
    items = sum(len(item.text) + len(item.corpus) + 100 for item in user.items)
    return items + sum(len(question.text) + 8 * len(question.history) + 100 for question in user.questions)


class BucketWriter:
    """Writes the users of one bucket; a row group is closed at about 2 MiB of text or 1,024 users."""

    def __init__(self, directory: Path, bucket: int) -> None:
        self._bucket = bucket
        path = bucket_path(directory, bucket)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._held = 0

    def add(self, user: User) -> None:
        row = user_to_row(user, self._bucket)
        self._rows.append({**row, "n_items": len(user.items), "n_questions": len(user.questions)})
        self._held += _size(user)
        if self._held >= GROUP_BYTES or len(self._rows) >= GROUP_USERS:
            self.flush()

    def flush(self) -> None:
        """Close the current row group."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows, self._held = [], 0

    def __enter__(self) -> "BucketWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        self._writer.close()
