"""One fragment of a store: a Parquet file, never changed, whose rows are ordered by key.

    key        fixed_size_binary[16]
    embedding  fixed_size_list<halffloat>[D]

D: numbers of an embedding. N: rows of a row group.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.store.embeddings.keys import KEY_BYTES, Keys, as_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec

GROUP_ROWS = 2048
"""Rows of a row group: what is read at once. 1.5 MiB at 384 numbers."""
UNFINISHED = ".unfinished"


class Fragment:
    """A finished fragment, its footer read and checked.

    Attributes:
        path: The file.
        width: D.
        rows: Rows in all.
    """

    def __init__(self, path: Path, spec: EmbeddingSpec, width: int | None) -> None:
        """width: of the store's other fragments, None where there are none.

        Raises:
            UserError: The file is damaged, or was written by another encoder, width or precision.
            FileNotFoundError: There is no such file any more.
        """
        self.path = path
        with self._named(), pq.ParquetFile(path) as file:
            self._metadata = file.metadata
            schema = file.schema_arrow
            wrong = spec.difference(schema.metadata, width)
            if wrong:
                raise UserError(f"{path}: a fragment of other embeddings ({wrong}); move it out of this folder")
            self.width = int(schema.field("embedding").type.list_size)
            self.rows = int(self._metadata.num_rows)
            groups = [self._metadata.row_group(i).column(0).statistics for i in range(self._metadata.num_row_groups)]
            self._least = as_keys(b"".join(group.min for group in groups))
            self._most = as_keys(b"".join(group.max for group in groups))

    def read(self, wanted: Keys) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """The rows of some keys, one row group at a time; row groups without any are not read.

        Args:
            wanted: Distinct keys in order, [W].

        Yields:
            Places in `wanted`, [M], and their embeddings, [M, D].

        Raises:
            UserError: The file is damaged.
        """
        first, behind = np.searchsorted(wanted, self._least), np.searchsorted(wanted, self._most, side="right")
        groups = np.flatnonzero(first < behind)
        if not len(groups):
            return
        with self._named(), pq.ParquetFile(
            self.path, metadata=self._metadata, memory_map=True, page_checksum_verification=True
        ) as file:  # fmt: skip
            for group in groups.tolist():
                of_group = wanted[first[group] : behind[group]]
                keys = _keys_of(file.read_row_group(group, columns=["key"], use_threads=False))
                place_N = np.minimum(np.searchsorted(of_group, keys), len(of_group) - 1)
                hit_N = np.flatnonzero(of_group[place_N] == keys)
                if len(hit_N):
                    table = file.read_row_group(group, columns=["embedding"], use_threads=False)
                    yield first[group] + place_N[hit_N], _embeddings_of(table, self.width)[hit_N]

    def present(self, wanted: Keys) -> NDArray[np.bool_]:
        """Which of some keys are here, [W]. As `read`, without reading embeddings."""
        found = np.zeros(len(wanted), dtype=bool)
        with self._named(), pq.ParquetFile(self.path, metadata=self._metadata, memory_map=True) as file:
            for group in range(file.num_row_groups):
                a, b = np.searchsorted(wanted, self._least[group]), np.searchsorted(wanted, self._most[group], "right")
                if a < b:
                    keys = _keys_of(file.read_row_group(group, columns=["key"], use_threads=False))
                    found[a:b] |= np.isin(wanted[a:b], keys)
        return found

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of a damaged file, which name it."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, KeyError, AttributeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"{self.path}: a damaged fragment of embeddings ({reason}); remove it, and its texts are encoded again"
            ) from None


def _keys_of(table: pa.Table) -> Keys:
    column = table["key"].combine_chunks()
    raw = memoryview(column.buffers()[1])
    return as_keys(raw[column.offset * KEY_BYTES : (column.offset + len(column)) * KEY_BYTES])


def _embeddings_of(table: pa.Table, width: int) -> NDArray[np.float16]:
    flat: NDArray[np.float16] = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, width)


def write_fragment(path: Path, keys: Keys, embeddings: NDArray[np.float16], spec: EmbeddingSpec) -> None:
    """Writes a fragment that is there whole or not at all.

    Args:
        path: The file; one of the same name is replaced.
        keys: Distinct keys in order, [N].
        embeddings: Their embeddings, [N, D].
        spec: What they are.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    width = embeddings.shape[1]
    raw = pa.py_buffer(keys.tobytes())
    columns = {
        "key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, raw]),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(embeddings).reshape(-1)), width),
    }
    table = pa.table(columns).replace_schema_metadata(spec.metadata(width))
    # A name of this writer's own: two machines' processes may have the same number.
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    try:
        with part.open("wb") as file:
            pq.write_table(
                table,
                file,
                row_group_size=GROUP_ROWS,
                compression="none",
                use_dictionary=False,
                write_statistics=["key"],
                write_page_checksum=True,
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
