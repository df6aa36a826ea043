"""The users of a running service and their items: durable, in one SQLite file a bucket, shared by processes.

    users.json              the number of buckets and the format
    bucket-NNNNNN.sqlite    the users whose stored id falls into the bucket

Every change is one transaction: on the disk when the call returns, or not made. A writer killed at any time leaves the
last state. What cannot be read is an error, never an unknown user or a shorter history.
"""

import contextlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, FitState, UserKey, UserState
from hydra_ray.serve.state.private_files import make_private, private_files
from hydra_ray.serve.state.sqlite.bucket_file import FORMAT, BucketFile
from hydra_ray.serve.state.sqlite.bucket_files import BucketFiles
from hydra_ray.serve.state.sqlite.fit_leases import FitLeases
from hydra_ray.serve.state.sqlite.user_rows import MOST_ITEMS, UserRow
from hydra_ray.serve.state.users import (
    Floors,
    HistoryUnreadableError,
    UserRecord,
    check_text,
    fit_recorded,
    highest,
    place_items,
)
from hydra_ray.utils.atomic_io import write_text

ABOUT = "users.json"
OPEN_FILES = 64
BUSY_S = 10.0


class SQLiteUserStore:
    """See `hydra_ray.serve.state.users.UserStore`. Made by `create` or `open`.

    Every method raises HistoryUnreadableError, which names the file, where one is missing, broken or locked for BUSY_S;
    those that write raise UserError for a full disk or a folder that cannot be written, and nothing is written then.
    """

    def __init__(self, folder: Path, buckets: int, most_open: int = OPEN_FILES, busy_s: float = BUSY_S) -> None:
        self.buckets = buckets
        self._files = BucketFiles(folder, buckets, most_open, busy_s)
        self._leases = FitLeases(folder, busy_s)

    @classmethod
    def create(cls, folder: Path, buckets: int) -> "SQLiteUserStore":
        """The store in `folder`: the one that is there, or what an earlier `create` had begun, or a new one.

        For one process at a time. Raises UserError: another number of buckets, or nothing can be written.
        """
        if not (folder / ABOUT).exists():
            try:
                make_private(folder)
                with private_files():
                    cls(folder, buckets)._files.make()
                    write_text(folder / ABOUT, json.dumps({"format": FORMAT, "buckets": buckets}))
            except OSError as error:
                raise UserError(f"{folder}: {error.strerror}; give a folder that can be written") from None
        return cls.open(folder, buckets)

    @classmethod
    def open(cls, folder: Path, buckets: int | None = None) -> "SQLiteUserStore":
        """The store in `folder`. buckets: how many it must have. Raises UserError: no store, another format, others."""
        about = folder / ABOUT
        try:
            found = json.loads(about.read_text())
            version, have = int(found["format"]), int(found["buckets"])
        except OSError as error:
            raise UserError(f"{about}: {error.strerror}: no store of users; correct the path") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{about}: broken; put the file back from a backup") from None
        if version != FORMAT:
            raise UserError(f"{folder} was written by another version of hydra_ray (format {version}, this one reads "
                            f"{FORMAT}); serve with that version, or from another folder")  # fmt: skip
        if buckets not in (None, have):
            raise UserError(f"{folder} has {have} buckets where {buckets} are asked for; their number cannot change, "
                            "give another folder")  # fmt: skip
        return cls(folder, have)

    def close(self) -> None:
        """Closes the open files; the next call opens what it needs."""
        self._files.close()

    # reading

    def state(self, user: UserKey) -> UserState | None:
        with self._reading(user) as (_, row):
            return row.state if row else None

    def history(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        with self._reading(user) as (file, row):
            return (row.state, file.items(row)) if row else None

    def items(self, user: UserKey) -> list[HistoryItem]:
        found = self.history(user)
        return found[1] if found else []

    def page(self, user: UserKey, first: int, limit: int) -> tuple[UserState, list[HistoryItem]] | None:
        with self._reading(user) as (file, row):
            return (row.state, file.page(row, first, limit)) if row else None

    def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        """Looks into every bucket."""
        first = UserKey(tenant, prefix).stored
        found = heapq.merge(*(self._users_from(bucket, first, limit) for bucket in range(self.buckets)),
                            key=lambda row: row.stored)  # fmt: skip
        return [(UserKey.of_stored(row.stored), row.state) for row in islice(found, limit)]

    def keys(self, bucket: int) -> list[UserKey]:
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return [UserKey.of_stored(row.stored) for row in file.all_users()]

    def unfinished(self, bucket: int) -> list[UserKey]:
        """A bucket's users whose fit is queued or running."""
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return [UserKey.of_stored(row.stored) for row in file.unfinished()]

    # writing

    def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        check_text(items)
        with self._writing(user) as (file, row):
            return _append(file, user.stored, row, items)

    def remove_item(self, user: UserKey, item_id: str) -> tuple[UserState, bool] | None:
        """To the last byte of the file."""
        with self._writing(user) as (file, row):
            if row is None:
                return None
            items = file.items(row)
            place = next((i for i, item in enumerate(items) if item.item_id == item_id), None)
            if place is None:
                return row.state, False
            state = replace(row.state, items=len(items) - 1, revision=row.state.revision + 1)
            row = file.set_state(row, state)
            file.drop_item(row, place, items[place + 1 :])
            about = file.about()
            file.set_about(replace(about, deletions=about.deletions + 1))
        self._files.scrub(bucket_of(user.stored, self.buckets))
        return state, True

    def set_fit(
        self,
        user: UserKey,
        fit: FitState,
        *,
        message: str = "",
        fitted_revision: int | None = None,
        heads: Mapping[Component, int] | None = None,
    ) -> UserState | None:
        with self._writing(user) as (file, row):
            if row is None or (fitted_revision is not None and fitted_revision < row.born):
                return None
            state = fit_recorded(row.state, fit, message, fitted_revision, heads)
            if state != row.state:
                file.set_state(row, state)
            return state

    def delete(self, user: UserKey, heads: Mapping[Component, int] | None = None) -> bool:
        """To the last byte of the file."""
        with self._writing(user) as (file, row):
            about = file.about()
            floor = highest(about.floor_heads, heads or {}, row.state.heads if row else {})
            changed = replace(about, floor_heads=floor)
            if row:
                revision = max(about.floor_revision, row.state.revision)
                changed = replace(changed, floor_revision=revision, deletions=about.deletions + 1)
                file.remove(row)
            if changed != about:
                file.set_about(changed)
        if changed.deletions > about.scrubbed:  # by this deletion, or one that was killed here
            self._files.scrub(bucket_of(user.stored, self.buckets))
        self._leases.drop(user.stored)
        return row is not None

    # fits

    def claim_fits(self, worker: str, limit: int, lease_s: float, user: UserKey | None = None) -> list[UserKey]:
        """A bucket that cannot be read is passed over: it does not stop the fits of others."""
        waiting = [user] if user else list(self._unfinished())
        taken: list[UserKey] = []
        if waiting:
            with self._leases.claiming(worker, lease_s) as claims:
                for one in waiting:
                    if len(taken) < limit and self._is_unfinished(one) and claims.take(one.stored):
                        taken.append(one)
        return [one for one in taken if self.set_fit(one, "running") is not None]

    def renew_fits(self, worker: str, users: Sequence[UserKey], lease_s: float) -> None:
        if users:
            self._leases.renew(worker, [user.stored for user in users], lease_s)

    def release_fit(self, worker: str, user: UserKey, wait_s: float = 0.0) -> None:
        self._leases.release(worker, user.stored, wait_s)

    def unfinished_fits(self) -> int:
        """Without those of a bucket that cannot be read."""
        return sum(1 for _ in self._unfinished())

    def _unfinished(self) -> Iterator[UserKey]:
        for bucket in range(self.buckets):
            with contextlib.suppress(HistoryUnreadableError):
                yield from self.unfinished(bucket)

    def _is_unfinished(self, user: UserKey) -> bool:
        state = self.state(user)
        return state is not None and state.fit in ("queued", "running")

    # import, before any user is served

    def import_users(self, bucket: int, users: Iterable[tuple[UserKey, Sequence[HistoryItem]]]) -> int:
        new = 0
        with self._files.writing(bucket) as file:
            self._files.check(bucket, file)
            for user, items in users:
                check_text(items)
                if file.user(user.stored) is None:
                    _append(file, user.stored, None, items)
                    new += 1
        return new

    def import_heads(self, bucket: int, heads: Mapping[UserKey, Mapping[Component, int]]) -> None:
        with self._files.writing(bucket) as file:
            for user, versions in heads.items():
                row = file.user(user.stored)
                if row and row.state.fit in ("never", "imported"):
                    file.set_state(row, replace(row.state, fit="imported", fitted_revision=row.state.revision,
                                                heads=highest(row.state.heads, versions)))  # fmt: skip

    # copying

    def states(self, bucket: int) -> dict[UserKey, UserState]:
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return {UserKey.of_stored(row.stored): row.state for row in file.all_users()}

    def records(self, users: Sequence[UserKey]) -> Iterator[UserRecord]:
        for user in users:
            with self._reading(user) as (file, row):
                found = UserRecord(user, row.born, row.state, file.items(row)) if row else None
            if found:
                yield found

    def put_records(self, bucket: int, records: Sequence[UserRecord]) -> None:
        with self._files.writing(bucket) as file:
            for record in records:
                if row := file.user(record.user.stored):
                    file.remove(row)
                row = file.put_user(record.user.stored, record.born, record.state)
                file.put_items(row, list(enumerate(record.items)))

    def drop_records(self, bucket: int, users: Sequence[UserKey]) -> None:
        with self._files.writing(bucket) as file:
            for row in filter(None, (file.user(user.stored) for user in users)):
                file.remove(row)
        self._files.scrub(bucket)

    def floors(self, bucket: int) -> Floors:
        with self._files.reading(bucket) as file:
            about = file.about()
            return Floors(about.floor_revision, about.floor_heads)

    def set_floors(self, bucket: int, floors: Floors) -> None:
        with self._files.writing(bucket) as file:
            file.set_about(replace(file.about(), floor_revision=floors.revision, floor_heads=dict(floors.heads)))

    @contextlib.contextmanager
    def _reading(self, user: UserKey) -> Iterator[tuple[BucketFile, UserRow | None]]:
        """The file of the user's bucket in a transaction, and the user's row."""
        bucket = bucket_of(user.stored, self.buckets)
        with self._files.reading(bucket) as file:
            yield file, self._row(bucket, file, user)

    @contextlib.contextmanager
    def _writing(self, user: UserKey) -> Iterator[tuple[BucketFile, UserRow | None]]:
        """Likewise, for a change."""
        bucket = bucket_of(user.stored, self.buckets)
        with self._files.writing(bucket) as file:
            yield file, self._row(bucket, file, user)

    def _row(self, bucket: int, file: BucketFile, user: UserKey) -> UserRow | None:
        row = file.user(user.stored)
        if row is None:
            self._files.check(bucket, file)
        return row

    def _users_from(self, bucket: int, first: str, limit: int) -> list[UserRow]:
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return [row for row in file.users_from(first, limit) if row.stored.startswith(first)]


def _append(file: BucketFile, stored: str, row: UserRow | None, items: Sequence[HistoryItem]) -> UserState:
    """`SQLiteUserStore.append`, inside a transaction. row: None: a new user."""
    known = file.items(row) if row else []
    changed = place_items(items, {item.item_id: (i, item) for i, item in enumerate(known)}, len(known))
    count = max(len(known), *(place + 1 for place in changed), 0)
    if row and not changed:
        return row.state
    if count >= MOST_ITEMS:
        raise UserError(f"a user holds {MOST_ITEMS} items at most")
    row = row or file.add_user(stored)
    state = replace(row.state, items=count, revision=row.state.revision + 1)
    file.put_items(row, sorted(changed.items()))
    file.set_state(row, state)
    return state
