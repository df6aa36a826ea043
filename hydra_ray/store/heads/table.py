"""One version of the Lance dataset below a head store: rows by user or bucket, and commits that replace rows.

The only module, besides `lance_io` and `seal`, that knows Lance's API. Every change of rows is one commit of one kind,
"these rows out, these fragments in" (Lance's Update operation), so that `put`, `publish` and `delete` share one
conflict rule: where another commit changed a fragment that this one changes, Lance refuses and the caller looks up its
rows again. A row's address is its fragment's id << 32 | its offset; ids only grow, so of two rows of one user that two
writers inserted at once, the one with the greater address is the later commit's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.fragment import FragmentMetadata, write_fragments
from numpy.typing import NDArray

from hydra_ray.store.heads.lance_io import Files, lance_errors
from hydra_ray.store.heads.rows import COLUMNS
from hydra_ray.store.heads.written_files import check_deletion_file, check_size

INDEXES = {"user_id": "BTREE", "bucket": "BITMAP"}
_IDS_A_QUERY = 10_000
_BATCH_BYTES = 64 << 20
_FILE_BYTES = 256 << 20
_SEGMENTS = 8  # of an index, every one of which is asked in every read


class Table:
    """A dataset at one version. row_bytes: bytes of a row's values, which bounds batches and files. files: its own."""

    def __init__(self, dataset: Any, row_bytes: int, files: Files) -> None:
        self.dataset = dataset
        self._files = files
        self.version = int(dataset.version)
        self._where = str(dataset.uri)
        self._row_bytes = row_bytes

    @classmethod
    def create(cls, uri: str, schema: pa.Schema, row_bytes: int, options: Mapping[str, str] | None) -> "Table":
        """An empty dataset. Raises LanceError if there is one."""
        with lance_errors(uri):
            dataset = lance.write_dataset(
                schema.empty_table(), uri, mode="create", storage_options=dict(options) if options else None
            )
        return cls(dataset, row_bytes, Files(uri, options))

    def latest(self) -> "Table":
        """The latest version, with this one's caches."""
        with lance_errors(self._where):
            return self.at(int(self.dataset.latest_version))

    def at(self, version: int) -> "Table":
        """Another version, with this one's caches. Raises LanceError if it does not exist."""
        if version == self.version:
            return self
        with lance_errors(self._where):
            return Table(self.dataset.checkout_version(version), self._row_bytes, self._files)

    # reading

    def rows(self, condition: Any = None, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """Batches with `columns` and `_rowaddr` of the rows that meet a pyarrow expression (None: all rows)."""
        with lance_errors(self._where):
            yield from self.dataset.to_batches(
                columns=list(columns), filter=condition, with_row_address=True, batch_size=self._batch_rows
            )

    def rows_of_users(self, user_ids: Sequence[str], columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """`rows` of the given users, through the index, in any order."""
        for start in range(0, len(user_ids), _IDS_A_QUERY):
            some = pa.array(user_ids[start : start + _IDS_A_QUERY], pa.string())
            yield from self.rows(pc.field("user_id").isin(some), columns)

    def rows_of_bucket(self, bucket: int, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """`rows` of one bucket, through the index."""
        yield from self.rows(pc.field("bucket") == pa.scalar(bucket, pa.int32()), columns)

    def rows_of_fragment(self, fragment: int) -> Iterator[pa.RecordBatch]:
        """`rows` of one fragment, without the index."""
        with lance_errors(self._where):
            scanner = self.dataset.get_fragment(fragment).scanner(
                columns=list(COLUMNS), with_row_address=True, batch_size=self._batch_rows
            )
            yield from scanner.to_batches()

    def data_files(self) -> dict[int, str]:
        """Fragment id -> path of its data file below the store."""
        with lance_errors(self._where):
            return {f.fragment_id: f"data/{f.metadata.files[0].path}" for f in self.dataset.get_fragments()}

    def count(self) -> int:
        """Rows, from the manifest alone."""
        with lance_errors(self._where):
            return int(self.dataset.count_rows())

    def versions(self) -> list[int]:
        """The versions there are."""
        with lance_errors(self._where):
            return sorted(int(described["version"]) for described in self.dataset.versions())

    def io(self) -> tuple[int, int]:
        """Read requests and bytes since the last call."""
        stats = self.dataset.io_stats_incremental()
        return int(stats.read_iops), int(stats.read_bytes)

    @property
    def _batch_rows(self) -> int:
        return max(1, min(8192, _BATCH_BYTES // self._row_bytes))

    @property
    def _file_rows(self) -> int:
        return max(1, _FILE_BYTES // self._row_bytes)

    # writing

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> list[Any]:
        """Writes rows into fragments that no version shows until they are committed."""
        with lance_errors(self._where):
            fragments: list[Any] = write_fragments(
                rows, self.dataset, mode="append", max_bytes_per_file=_FILE_BYTES, max_rows_per_file=self._file_rows
            )
        for file in (file for fragment in fragments for file in fragment.files):
            check_size(self._files, f"data/{file.path}", file.file_size_bytes)
        return fragments

    def replace(self, out: Iterable[NDArray[np.uint64]] | None, into: Sequence[Any]) -> "Table":
        """One commit: the rows at the addresses `out` (None: all rows) go, the fragments `into` come.

        Raises ConflictError if another writer was first to change a fragment that holds rows to go.
        """
        if out is None:
            return self._commit([int(fragment) for fragment in self.data_files()], [], into)
        return self._commit(*self._without(np.concatenate([np.empty(0, np.uint64), *out])), into)

    def _commit(self, removed: list[int], updated: list[Any], new: Sequence[Any]) -> "Table":
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=removed, updated_fragments=updated, new_fragments=list(new)
        )
        with lance_errors(self._where):
            return Table(lance.LanceDataset.commit(self.dataset, operation, self.version), self._row_bytes, self._files)

    def _without(self, addresses: NDArray[np.uint64]) -> tuple[list[int], list[Any]]:
        """Ids of the fragments that are left empty, and the others that lose rows, with their new deletion files."""
        removed: list[int] = []
        updated: list[Any] = []
        fragment_of, offset_of = addresses >> np.uint64(32), addresses & np.uint64(0xFFFFFFFF)
        for fragment in np.unique(fragment_of).tolist():
            with lance_errors(self._where):
                left = self.dataset.get_fragment(fragment).delete_rows(offset_of[fragment_of == fragment].tolist())
            if left is None:
                removed.append(fragment)
            else:
                check_deletion_file(self._files, left.deletion_file.path(fragment))
                updated.append(left)
        return removed, updated

    def rewrite(self) -> "Table":
        """One commit: rows of files that hold deleted rows, and of small files, go to new ones. Raises as `replace`."""
        with lance_errors(self._where):
            all_of = [fragment.metadata for fragment in self.dataset.get_fragments()]
        small = [f for f in all_of if f.physical_rows < self._file_rows // 2]
        old = [f.id for f in all_of if f.deletion_file is not None or (f in small and len(small) > 1)]
        if not old:
            return self
        batches = (batch.select(COLUMNS) for fragment in old for batch in self.rows_of_fragment(fragment))
        return self._commit(old, [], self.write(pa.RecordBatchReader.from_batches(self.dataset.schema, batches)))

    def index(self, *, anew: bool = False) -> "Table":
        """Brings the indexes up to date: a segment for the fragments that no segment covers, or (anew, or where there
        are many segments) one for all. Reads are right without, but slower.
        """
        moving = Table(copy(self.dataset), self._row_bytes, self._files)  # Lance moves the dataset it indexes
        for column, kind in INDEXES.items():
            moving._index(column, kind, anew=anew)
        return moving.latest()

    def _index(self, column: str, kind: str, *, anew: bool) -> None:
        name, live = f"{column}_idx", set(self.data_files())
        with lance_errors(self._where):
            segments = [s for index in self.dataset.describe_indices() if index.name == name for s in index.segments]
            covered = {fragment for segment in segments for fragment in segment.fragment_ids}
            anew = anew or len(segments) >= _SEGMENTS
            todo = sorted(live if anew else live - covered)
            if todo:
                segment = self.dataset.create_index_uncommitted(column, kind, name, replace=True, fragment_ids=todo)
        if todo:
            for file in segment.files:
                check_size(self._files, f"_indices/{segment.uuid}/{file.path}", file.size_bytes)
        with lance_errors(self._where):
            if anew and segments:
                self.dataset.drop_index(name)
            if todo:
                self.dataset.commit_existing_index_segments(name, column, [segment])

    def forget_old_versions(self, *, unpublished: bool) -> None:
        """Removes all versions but the latest with their files; unpublished: files of no version, too, at any age."""
        with lance_errors(self._where):
            self.dataset.cleanup_old_versions(
                retain_versions=1, delete_unverified=unpublished, error_if_tagged_old_versions=False
            )


def open_dataset(uri: str, version: int | None, options: Mapping[str, str] | None) -> tuple[Any, pa.Schema]:
    """A dataset at a version (None: the latest), for a Table. Raises LanceError if it cannot be opened."""
    with lance_errors(uri):
        dataset = lance.dataset(uri, version, storage_options=dict(options) if options else None)
        return dataset, dataset.schema


def fragment_to_json(fragment: Any) -> dict[str, Any]:
    """A fragment's description, for another process to commit it."""
    described: dict[str, Any] = fragment.to_json()
    return described


def fragment_from_json(described: str) -> Any:
    """Reads `fragment_to_json` (as text)."""
    return FragmentMetadata.from_json(described)
