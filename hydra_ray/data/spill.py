"""Rows on their way from files to users: hash-partitioned on disk, in bounded memory.

A partition is an Arrow IPC stream of many small, compressed record batches, appended to as they come: few files
whatever the size of the data, nothing to index, and read back batch by batch.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from hydra_ray.core.types import Split
from hydra_ray.data.rows import SourceRow, from_payload

SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("user_id", pa.string()),
        ("split", pa.string()),
        ("source", pa.int32()),
        ("position", pa.int64()),
        ("payload", pa.binary()),
    ]
)
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")
FLUSH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class SpilledRow:
    """A row with its items and questions still packed: `unpack` when its user's turn comes."""

    bucket: int
    user_id: str
    split: Split
    source: int
    position: int
    payload: bytes

    def unpack(self) -> SourceRow:
        return from_payload(self.user_id, self.split, self.source, self.position, self.payload)


def pack(row: SourceRow, bucket: int) -> SpilledRow:
    """The inverse of `SpilledRow.unpack`."""
    return SpilledRow(bucket, row.user_id, row.split, row.source, row.position, row.payload())


def part_of(user_id: str, parts: int) -> int:
    """Which of `parts` a user falls into when a partition is split further: independent of the user's bucket."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, salt=b"part").digest()
    return int.from_bytes(digest, "little") % parts


class SpillWriter:
    """Appends rows to `{folder}/p{partition}/{writer}.arrow`, holding at most about `flush_bytes` of payload.

    writer: a name that no other writer into `folder` has. `bytes`: payload bytes per partition so far.
    """

    def __init__(self, folder: Path, writer: str, flush_bytes: int = FLUSH_BYTES) -> None:
        self._folder = folder
        self._name = f"{writer}.arrow"
        self._limit = flush_bytes
        self._held = 0
        self._rows: dict[int, list[SpilledRow]] = {}
        self._open: dict[int, tuple[Any, Any]] = {}
        self.bytes: dict[int, int] = {}

    def add(self, partition: int, row: SpilledRow) -> bool:
        """Take a row; whether that filled the buffer and wrote it out."""
        self._rows.setdefault(partition, []).append(row)
        size = len(row.payload)
        self.bytes[partition] = self.bytes.get(partition, 0) + size
        self._held += size + 200
        if self._held < self._limit:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        for partition, rows in self._rows.items():
            arrays = [pa.array([getattr(row, f.name) for row in rows], type=f.type) for f in SCHEMA]
            self._writer(partition).write_batch(pa.record_batch(arrays, schema=SCHEMA))
        self._rows, self._held = {}, 0

    def _writer(self, partition: int) -> Any:
        if partition not in self._open:
            path = partition_folder(self._folder, partition) / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            file = pa.OSFile(str(path), "wb")
            self._open[partition] = (file, pa.ipc.new_stream(file, SCHEMA, options=_OPTIONS))
        return self._open[partition][1]

    def close(self) -> None:
        self.flush()
        for file, stream in self._open.values():
            stream.close()
            file.close()
        self._open = {}

    def __enter__(self) -> "SpillWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        for file, _ in self._open.values():
            with suppress(OSError):
                file.close()


def partition_folder(folder: Path, partition: int) -> Path:
    return folder / f"p{partition:05d}"


def read_partition(folder: Path, partition: int) -> Iterator[SpilledRow]:
    """All rows of a partition, one record batch in memory at a time."""
    for path in sorted(partition_folder(folder, partition).glob("*.arrow")):
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                columns = [batch.column(i).to_pylist() for i in range(batch.num_columns)]
                yield from (SpilledRow(*values) for values in zip(*columns, strict=True))
