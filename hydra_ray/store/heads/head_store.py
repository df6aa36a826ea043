"""The head store: users' heads by user or by bucket, in versions; numpy arrays in and out.

One Lance dataset. A version is published by one atomic commit; a writer killed before leaves the last one as it was, a
writer killed after leaves at worst an index to be brought up to date, which the next write does. A reader stays at its
version until `refresh`. Several processes may read and write at once (see `writer`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads import writer
from hydra_ray.store.heads.connection import Connection
from hydra_ray.store.heads.corrupt_shards import CorruptShard, faults_of_files, faults_of_fragments, fragments_of
from hydra_ray.store.heads.lance_io import LanceError
from hydra_ray.store.heads.read import FaultyRowError, gather, gather_bucket
from hydra_ray.store.heads.rows import Arrays, schema, split, to_table
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.store.heads.staged_fragments import StagedFragments, StagedUsers, describe, fragments_to_publish
from hydra_ray.store.heads.table import Table

T = TypeVar("T")


class HeadStore:
    """Heads of one component (reranker or adapter) of one base. Made by `create` or `open`.

    Every read checks the rows it reads: a broken one, or a missing file, is a UserError that names bucket and file.
    Each process opens its own. N: users.
    """

    def __init__(self, connection: Connection, table: Table, *, pinned: bool) -> None:
        self._connection = connection
        self._table = table
        self._pinned = pinned

    @classmethod
    def create(cls, uri: str, spec: HeadSpec, *, options: Mapping[str, str] | None = None) -> "HeadStore":
        """A new, empty store.

        uri: a folder, or whatever object store Lance reaches (`s3://`, `gs://`, `az://`, ...), with its `options`
        (Lance's `storage_options`). Raises UserError if something is there already, or nothing can be written.
        """
        try:
            table = Table.create(uri, schema(spec), spec.row_bytes, options)
        except LanceError as error:
            raise UserError(f"cannot make a head store at {uri}: {error}") from None
        connection = Connection(uri, options, spec)
        return cls(connection, writer.finish(connection, table), pinned=False)

    @classmethod
    def open(
        cls,
        uri: str,
        version: int | None = None,
        expect: HeadSpec | None = None,
        *,
        options: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> "HeadStore":
        """The store at `uri`, at a version of its own choice (None: the latest, movable by `refresh`).

        expect: what the heads must belong to. check=False: opens a store with broken files, for `verify` and `reindex`.
        Raises UserError if there is no such store or version, if it holds other heads than expected (which field is
        named), if a newer version of hydra_ray wrote it, or if its index or manifest is broken.
        """
        connection, table = Connection.open(uri, version, options, check=check)
        if expect is not None:
            connection.spec.check(expect, uri)
        return cls(connection, table, pinned=version is not None)

    @property
    def spec(self) -> HeadSpec:
        """What the store holds."""
        return self._connection.spec

    @property
    def version(self) -> int:
        """The version that reads see."""
        return self._table.version

    def versions(self) -> list[int]:
        """The versions that can be opened. (One write may make several: the rows, then the index.)"""
        return self._read(lambda table: table.versions())

    def refresh(self) -> int:
        """Moves to the latest version (unless opened at a version of choice); returns the version reads now see."""
        if not self._pinned:
            self._table = self._connection.latest(self._table)
        return self.version

    # reading

    def get(self, user_ids: Sequence[str]) -> tuple[NDArray[np.bool_], Arrays]:
        """found: bool [N]; name -> float32 [N, *shape], zeros where not found. Order kept, repeats allowed."""
        users = list(dict.fromkeys(user_ids))
        found_N, values_NP = self._read(
            lambda table: gather(self.spec, table.rows_of_users(users), user_ids),
            lambda table: fragments_of(table.rows_of_users(users, columns=())),
            {bucket_of(user, self.spec.buckets) for user in users},
        )
        return found_N, split(self.spec, values_NP)

    def bucket(self, bucket: int) -> tuple[list[str], Arrays]:
        """The users of a bucket, sorted by id, and their arrays [N, *shape]; reads nothing of the others."""
        self._check_bucket(bucket)
        users, values_NP = self._read(
            lambda table: gather_bucket(self.spec, table.rows_of_bucket(bucket), bucket),
            lambda table: fragments_of(table.rows_of_bucket(bucket, columns=())),
            {bucket},
        )
        return users, split(self.spec, values_NP)

    def users(self, bucket: int | None = None) -> list[str]:
        """The ids of all users, or of one bucket's, sorted."""
        if bucket is not None:
            self._check_bucket(bucket)

        def ids(table: Table) -> list[str]:
            columns = ("user_id",)
            batches = table.rows(columns=columns) if bucket is None else table.rows_of_bucket(bucket, columns)
            return sorted({user for batch in batches for user in batch["user_id"].to_pylist()})

        return self._read(ids)

    def count(self) -> int:
        """How many users have a head here."""
        return self._read(lambda table: table.count())

    def io(self) -> tuple[int, int]:
        """Read requests and bytes since the last call, as Lance counts them: what an object store would be asked."""
        return self._table.io()

    # writing

    def put(self, user_ids: Sequence[str], arrays: Mapping[str, NDArray[np.floating]]) -> int:
        """Publishes the heads of these users, in place of those they had; returns the new version.

        arrays: name -> [N, *shape]. Raises UserError for NaN, infinity or a user given twice (with the user's name),
        for a full disk, or if other writers were faster in every attempt: nothing of this write is published then.
        """
        fragments = self._write(to_table(self.spec, user_ids, arrays))
        return self._move(
            writer.replace_rows(self._connection, self._table, [list(user_ids)], fragments, everything=False)
        )

    def stage_heads(
        self, bucket: int, user_ids: Sequence[str], arrays: Mapping[str, NDArray[np.floating]]
    ) -> StagedFragments:
        """Writes heads of one bucket that no reader sees until `publish` gets the description, which goes through JSON.

        A bucket may be written in several parts of different users. Raises UserError as `put` does, and for a user of
        another bucket.
        """
        self._check_bucket(bucket)
        rows = to_table(self.spec, user_ids, arrays)
        for user, own in zip(user_ids, rows["bucket"].to_pylist(), strict=True):
            if own != bucket:
                raise UserError(f"user {user!r} belongs to bucket {own} of {self.spec.buckets}, not to {bucket}")
        return describe(self._connection, bucket, len(user_ids), self._write(rows))

    def publish(self, parts: Sequence[StagedFragments], *, replace: bool) -> int:
        """One commit of many parts, written by many processes; returns the new version.

        replace: the parts become all there is; otherwise their users are added, or replaced. Raises UserError, with
        nothing published, for a part of another store, a part whose file is gone, and a user in two parts.
        """
        users = StagedUsers(self._connection, parts)
        users.check()
        fragments = fragments_to_publish(parts)
        return self._move(writer.replace_rows(self._connection, self._table, users, fragments, everything=replace))

    def delete(self, user_ids: Sequence[str]) -> int:
        """Removes users from the version returned and every later one; unknown users are no mistake.

        Older versions keep them until `vacuum`.
        """
        return self._move(writer.replace_rows(self._connection, self._table, [list(user_ids)], [], everything=False))

    def vacuum(self, *, unpublished: bool = False) -> int:
        """Removes every older version, and what was deleted from the files; returns the version that is left.

        What unfinished writers left behind goes once it is seven days old; unpublished=True: at once, which takes the
        parts of writers at work away from them, too (their `publish` then fails): only while there is no writer.
        """
        return self._move(writer.vacuum(self._connection, self._table, unpublished=unpublished))

    # repair

    def verify(self) -> list[CorruptShard]:
        """Reads everything at this version; the broken shards by file and buckets, none if all is well."""
        broken = self._connection.broken_files(self._table)
        if broken:
            return faults_of_files(broken)
        return faults_of_fragments(self._table, self.spec, sorted(self._table.data_files()))

    def reindex(self) -> int:
        """Builds the indexes anew from the rows; returns the new version."""
        return self._move(writer.finish(self._connection, self._table, anew=True))

    def _write(self, rows: pa.Table) -> list[object]:
        try:
            return self._table.write(rows) if rows.num_rows else []
        except LanceError as error:
            raise UserError(f"{self._connection.uri}: cannot write: {error}; nothing was published") from None

    def _move(self, table: Table) -> int:
        if not self._pinned:
            self._table = table
        return table.version

    def _check_bucket(self, bucket: int) -> None:
        if not 0 <= bucket < self.spec.buckets:
            raise UserError(f"{self._connection.uri} has no bucket {bucket}: it has {self.spec.buckets}, from 0")

    def _read(
        self,
        read: Callable[[Table], T],
        fragments: Callable[[Table], set[int]] | None = None,
        buckets: set[int] | None = None,
    ) -> T:
        """Reads, at a newer version if a vacuum took this one away. fragments, buckets: what to search for faults."""
        while True:
            table = self._table
            try:
                return read(table)
            except (LanceError, FaultyRowError) as error:
                if self.refresh() == table.version:
                    raise UserError(self._explain(table, str(error), fragments, buckets or set())) from None

    def _explain(
        self, table: Table, message: str, fragments: Callable[[Table], set[int]] | None, buckets: set[int]
    ) -> str:
        """Names the broken shards among those that were to be read."""
        try:
            if table.version not in table.versions():
                return f"{self._connection.uri}: version {table.version} is gone: vacuum removed it; open the latest"
            concerned = sorted(fragments(table) if fragments else table.data_files())
            faults = faults_of_fragments(table, self.spec, concerned)
        except LanceError:
            faults = []
        found = [str(fault) for fault in faults if not fault.buckets or not buckets or buckets & set(fault.buckets)]
        what = found[0] if found else f"bucket {sorted(buckets)[0] if buckets else 'unknown'}: {message}"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return (f"{self._connection.uri}: version {table.version}: {what}{more}; put the file back, or fit the users "
                "of the bucket again with fit-users; verify() lists all that is broken")  # fmt: skip
