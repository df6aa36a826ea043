"""Commits of a head store: look rows up, replace them, bring the index up to date, seal.

Two writers at once: where both change rows of one fragment, the later one looks up its rows again and commits on top of
the other. Where both insert a user that had no head, Lance sees no conflict and both rows stand for a moment; the later
commit's row counts (readers take the greater address) and its writer removes the other.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.store.heads.connection import Connection
from hydra_ray.store.heads.integrity import drop_seals
from hydra_ray.store.heads.lance_io import ConflictError, LanceError
from hydra_ray.store.heads.table import Table

T = TypeVar("T")
_ATTEMPTS = 20
Users = Iterable[Sequence[str]]


def replace_rows(
    connection: Connection, table: Table, users: Users, fragments: Sequence[Any], *, everything: bool
) -> Table:
    """Publishes the fragments in place of all rows of `users` (everything: in place of all rows); returns the version.

    Raises UserError if other writers were faster in every attempt, or a file is broken.
    """

    def commit() -> tuple[Table, int]:
        base = connection.latest(table)
        out = None if everything else [addresses(base.rows_of_users(some, ())) for some in users]
        if not fragments and out is not None and not any(len(some) for some in out):
            return base, base.version
        return base.replace(out, fragments), base.version

    def settled() -> Table:
        base = connection.latest(table)
        return settle(base, (base.rows_of_users(some, ("user_id",)) for some in users))

    new, read = _insist(connection, commit)
    if new.version == read:
        return new
    if fragments and new.version > read + 1:
        new = _insist(connection, settled)
    return finish(connection, new)


def settle(table: Table, groups: Iterable[Iterable[pa.RecordBatch]]) -> Table:
    """Removes the older rows of users that have several; groups: batches with `user_id`, a user in one group only."""
    old = [superseded(batches) for batches in groups]
    return table.replace(old, []) if any(len(some) for some in old) else table


def finish(connection: Connection, table: Table, *, anew: bool = False) -> Table:
    """Index and seal of what was just committed."""
    try:
        indexed = _insist(connection, lambda: table.latest().index(anew=anew))
        connection.seal(indexed)
    except (UserError, LanceError) as error:
        raise UserError(f"{connection.uri}: version {table.version} is published, but its index is not up to date, so "
                        f"reads are slower until the next write: {error}") from None  # fmt: skip
    return indexed


def vacuum(connection: Connection, table: Table, *, unpublished: bool) -> Table:
    """Rewrites what holds deleted rows, then removes every older version and its files."""
    buckets = range(connection.spec.buckets)

    def work() -> Table:
        base = connection.latest(table)
        base = settle(base, (base.rows_of_bucket(bucket, ("user_id",)) for bucket in buckets))
        return base.rewrite()

    # Anew: Lance's index keeps the ids of rows whose whole file is gone.
    new = finish(connection, _insist(connection, work), anew=True)
    try:
        new.forget_old_versions(unpublished=unpublished)
        drop_seals(connection.files, new.version)
    except LanceError as error:
        raise UserError(f"{connection.uri}: vacuum could not remove old files: {error}; run it again") from None
    return new


def addresses(batches: Iterable[pa.RecordBatch]) -> NDArray[np.uint64]:
    """The row addresses of all batches."""
    return np.concatenate([np.empty(0, np.uint64), *(batch["_rowaddr"].to_numpy() for batch in batches)])


def superseded(batches: Iterable[pa.RecordBatch]) -> NDArray[np.uint64]:
    """The addresses of rows whose user has a row with a greater address."""
    newest: dict[str, int] = {}
    old: list[int] = []
    for batch in batches:
        for user, address in zip(batch["user_id"].to_pylist(), batch["_rowaddr"].to_pylist(), strict=True):
            other = newest.setdefault(user, address)
            if other != address:
                old.append(min(other, address))
                newest[user] = max(other, address)
    return np.array(old, np.uint64)


def _insist(connection: Connection, commit: Callable[[], T]) -> T:
    """Tries a commit until no other writer is in its way."""
    for attempt in range(_ATTEMPTS):
        try:
            return commit()
        except ConflictError:
            time.sleep(random.uniform(0, 0.02 * (attempt + 1)))
        except LanceError as error:
            raise UserError(f"{connection.uri}: cannot write: {error}; the last published version is intact; "
                            "see `verify`") from None  # fmt: skip
    raise UserError(f"{connection.uri}: other writers were faster {_ATTEMPTS} times; nothing of this write was "
                    "published, do it again when they are done")  # fmt: skip
