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
from hydra_ray.serve.state.bucket_file import FORMAT, BucketFile
from hydra_ray.serve.state.bucket_files import BucketFiles, HistoryUnreadableError
from hydra_ray.serve.state.private_files import make_private, private_files
from hydra_ray.serve.state.user_rows import MOST_ITEMS, UserRow, highest
from hydra_ray.utils.atomic_io import write_text

__all__ = ["HistoryUnreadableError", "UserStore"]

ABOUT = "users.json"
OPEN_FILES = 64
BUSY_S = 10.0


class UserStore:
    """Made by `create` or `open`. For many threads; each process opens its own.

    Every method raises HistoryUnreadableError, which names the file, where one is missing, broken or locked for BUSY_S;
    those that write raise UserError for a full disk or a folder that cannot be written, and nothing is written then.
    """

    def __init__(self, folder: Path, buckets: int, most_open: int = OPEN_FILES, busy_s: float = BUSY_S) -> None:
        self.buckets = buckets
        self._files = BucketFiles(folder, buckets, most_open, busy_s)

    @classmethod
    def create(cls, folder: Path, buckets: int) -> "UserStore":
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
    def open(cls, folder: Path, buckets: int | None = None) -> "UserStore":
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
        """What is known of the user now, from any process; None: no such user."""
        with self._reading(user) as (_, row):
            return row.state if row else None

    def history(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        """State and items of one moment, oldest first; None: no such user."""
        with self._reading(user) as (file, row):
            return (row.state, file.items(row)) if row else None

    def items(self, user: UserKey) -> list[HistoryItem]:
        """The user's items, oldest first; none if there is no such user."""
        found = self.history(user)
        return found[1] if found else []

    def page(self, user: UserKey, first: int, limit: int) -> tuple[UserState, list[HistoryItem]] | None:
        """State, and the user's items from place `first` on, `limit` at most; None: no such user."""
        with self._reading(user) as (file, row):
            return (row.state, file.page(row, first, limit)) if row else None

    def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        """The tenant's users whose id begins with `prefix`, sorted by id. Looks into every bucket."""
        first = UserKey(tenant, prefix).stored
        found = heapq.merge(*(self._users_from(bucket, first, limit) for bucket in range(self.buckets)),
                            key=lambda row: row.stored)  # fmt: skip
        return [(UserKey.of_stored(row.stored), row.state) for row in islice(found, limit)]

    def keys(self, bucket: int) -> list[UserKey]:
        """The users of a bucket, sorted."""
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return [UserKey.of_stored(stored) for stored in file.stored_ids()]

    def unfinished(self, bucket: int) -> list[UserKey]:
        """A bucket's users whose fit is queued or running."""
        with self._files.reading(bucket) as file:
            self._files.check(bucket, file)
            return [UserKey.of_stored(row.stored) for row in file.unfinished()]

    # writing

    def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        """Adds items behind the others, and the user if unknown; a known `item_id` is replaced in its place.

        The revision grows by one if this changes anything. A user who was deleted begins anew at a higher revision than
        ever before, with the versions of the head stores in which the old heads are gone.
        """
        _check_text(items)
        with self._writing(user) as (file, row):
            return _append(file, user.stored, row, items)

    def remove_item(self, user: UserKey, item_id: str) -> tuple[UserState, bool] | None:
        """Removes one item, to the last byte of the file: the state then, and whether there was one of that id; None:
        no such user. The revision grows, so that no index of before counts; heads stay until the next fit.
        """
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
        """Records how a fit stands; returns the new state. None: the user is gone, and nothing was recorded.

        fitted_revision: the history it read (None: as before); where that was of a deleted user of the same id, this
        one is another, and the answer None, too. heads: the head-store versions with the new heads (the highest stay).
        A fit that ends (`done`, `failed`) while one more is queued leaves that one queued.
        """
        with self._writing(user) as (file, row):
            if row is None or (fitted_revision is not None and fitted_revision < row.born):
                return None
            stands: FitState = "queued" if row.state.fit == "queued" and fit in ("done", "failed") else fit
            state = replace(row.state, fit=stands, message=message, heads=highest(row.state.heads, heads or {}))
            if fitted_revision is not None:
                state = replace(state, fitted_revision=fitted_revision)
            if state != row.state:
                file.set_state(row, state)
            return state

    def delete(self, user: UserKey, heads: Mapping[Component, int] | None = None) -> bool:
        """Removes the user and all items, to the last byte of the file; False: no such user.

        heads: the head-store versions in which the user's heads are gone, to be removed first. A later user
        with the same id begins with them, so that no scorer uses an older version's head for that user.
        """
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
        return row is not None

    # import, before any user is served

    def import_users(self, bucket: int, users: Iterable[tuple[UserKey, Sequence[HistoryItem]]]) -> int:
        """Adds users of one bucket in one transaction; known ones are left as they are. Returns how many are new."""
        new = 0
        with self._files.writing(bucket) as file:
            self._files.check(bucket, file)
            for user, items in users:
                _check_text(items)
                if file.user(user.stored) is None:
                    _append(file, user.stored, None, items)
                    new += 1
        return new

    def import_heads(self, bucket: int, heads: Mapping[UserKey, Mapping[Component, int]]) -> None:
        """Records which of a bucket's users came with heads, in which versions, fitted on the items they have now."""
        with self._files.writing(bucket) as file:
            for user, versions in heads.items():
                row = file.user(user.stored)
                if row and row.state.fit in ("never", "imported"):
                    file.set_state(row, replace(row.state, fit="imported", fitted_revision=row.state.revision,
                                                heads=highest(row.state.heads, versions)))  # fmt: skip

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
    """`UserStore.append`, inside a transaction. row: None: a new user."""
    known = file.items(row) if row else []
    place = {item.item_id: i for i, item in enumerate(known)}
    changed: dict[int, HistoryItem] = {}
    for item in items:
        i = place.setdefault(item.item_id, len(place))
        if i < len(known) and known[i] == item:
            changed.pop(i, None)
        else:
            changed[i] = item
    if row and not changed:
        return row.state
    if len(place) >= MOST_ITEMS:
        raise UserError(f"a user holds {MOST_ITEMS} items at most")
    row = row or file.add_user(stored)
    state = replace(row.state, items=len(place), revision=row.state.revision + 1)
    file.put_items(row, sorted(changed.items()))
    file.set_state(row, state)
    return state


def _check_text(items: Sequence[HistoryItem]) -> None:
    """Raises UserError for a text that is none (half of a character)."""
    for item in items:
        try:
            "".join((item.item_id, item.text, item.corpus, item.answer, item.date)).encode()
        except UnicodeEncodeError:
            raise UserError(f"item {item.item_id!r} holds half a character (a lone surrogate); correct it") from None
