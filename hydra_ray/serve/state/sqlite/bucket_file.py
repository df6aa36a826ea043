"""One bucket of users as one SQLite file, open: rows in and out, inside a transaction of the caller's.

A rollback journal, not a write-ahead log: that one needs memory shared by all its users, which network storage does not
give. TRUNCATE with synchronous=FULL syncs the journal's end, too: what was committed outlasts a power cut.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserState
from hydra_ray.serve.state.sqlite.user_rows import About, BrokenRowError, Row, UserRow, item_row, items_from, items_of

FORMAT = 1
"""Of the tables; a reader refuses another."""
_APPLICATION = 0x68796472  # "hydr"
_PAGES_KIB = 256
"""Pages that an open file keeps in memory: most reads touch one user's."""

_TABLES = """
CREATE TABLE about (bucket INTEGER NOT NULL, buckets INTEGER NOT NULL, floor_revision INTEGER NOT NULL,
    floor_heads TEXT NOT NULL, deletions INTEGER NOT NULL, scrubbed INTEGER NOT NULL, digest INTEGER NOT NULL);
CREATE TABLE users (number INTEGER PRIMARY KEY, user TEXT NOT NULL UNIQUE, born INTEGER NOT NULL,
    items INTEGER NOT NULL, revision INTEGER NOT NULL, heads TEXT NOT NULL, fit TEXT NOT NULL, fitted_revision INTEGER,
    message TEXT NOT NULL, digest INTEGER NOT NULL);
CREATE INDEX unfinished ON users(fit) WHERE fit IN ('queued', 'running');
CREATE TABLE items (place INTEGER PRIMARY KEY, item_id TEXT NOT NULL, text TEXT NOT NULL, corpus TEXT,
    answer TEXT NOT NULL, date TEXT NOT NULL, digest INTEGER NOT NULL);
"""

UNFINISHED = "SELECT * FROM users WHERE fit IN ('queued', 'running')"
"""Worded as the index is, which SQLite would not take otherwise; asked of every bucket every two seconds."""


class BucketFile:
    """Raises sqlite3.Error and BrokenRowError: see `bucket_files`. For one thread at a time."""

    def __init__(self, path: Path, busy_s: float) -> None:
        """busy_s: how long to wait for another process's transaction."""
        uri = f"file:{quote(str(path))}?mode=rw"
        self._db = sqlite3.connect(uri, busy_s, isolation_level=None, check_same_thread=False, uri=True)
        try:
            self.inode = inode(path)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute(f"PRAGMA cache_size=-{_PAGES_KIB}")
            if self._pragma("application_id") != _APPLICATION:
                raise BrokenRowError("holds no users")
            if self._pragma("user_version") != FORMAT:
                raise BrokenRowError("was written by another version of hydra_ray")
            # Per connection, not kept in the file.
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
        except BaseException:
            self.close()
            raise

    @classmethod
    def make(cls, path: Path, bucket: int, buckets: int) -> None:
        """A new bucket without users; `path` must not exist."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.executescript(f"BEGIN; PRAGMA application_id={_APPLICATION}; PRAGMA user_version={FORMAT}; {_TABLES}")
            db.execute("INSERT INTO about VALUES (?, ?, ?, ?, ?, ?, ?)", About(bucket, buckets).row())
            db.execute("COMMIT")

    def close(self) -> None:
        """What is not committed is not written."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self, *, writing: bool) -> Iterator[None]:
        """All or nothing; reads see one state of the file. After an error, close."""
        self._db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        yield
        self._db.execute("COMMIT")

    def check_users(self) -> None:
        """Reads the table of users with its index (not their items): only then is an unknown user no lost one."""
        found = self._db.execute("PRAGMA integrity_check(users)").fetchone()
        if found != ("ok",):
            raise BrokenRowError(str(found[0]).splitlines()[0])

    def about(self) -> About:
        """What the file says of itself."""
        rows = self._db.execute("SELECT * FROM about").fetchall()
        if len(rows) != 1:
            raise BrokenRowError("does not say which bucket it is")
        return About.of(rows[0])

    def set_about(self, about: About) -> None:
        """Replaces `about`."""
        self._db.execute("DELETE FROM about")
        self._db.execute("INSERT INTO about VALUES (?, ?, ?, ?, ?, ?, ?)", about.row())

    def user(self, stored: str) -> UserRow | None:
        """The user of this id."""
        row = self._db.execute("SELECT * FROM users WHERE user = ?", (stored,)).fetchone()
        user = UserRow.of(row) if row else None
        if user and user.stored != stored:
            raise BrokenRowError("the index of users leads to another user")
        return user

    def users_from(self, stored: str, limit: int) -> list[UserRow]:
        """Users of this id or a later one, sorted by id."""
        rows = self._db.execute("SELECT * FROM users WHERE user >= ? ORDER BY user LIMIT ?", (stored, limit))
        return [UserRow.of(row) for row in rows]

    def unfinished(self) -> list[UserRow]:
        """Users whose fit is queued or running."""
        return [UserRow.of(row) for row in self._db.execute(UNFINISHED)]

    def all_users(self) -> list[UserRow]:
        """Sorted by id."""
        return [UserRow.of(row) for row in self._db.execute("SELECT * FROM users ORDER BY user")]

    def add_user(self, stored: str) -> UserRow:
        """A user without items, above the floors; revision is the one before the first."""
        about = self.about()
        return self.put_user(stored, about.floor_revision + 1, UserState(0, about.floor_revision, about.floor_heads))

    def put_user(self, stored: str, born: int, state: UserState) -> UserRow:
        """A user as it is elsewhere, without items as yet; the id must be unknown."""
        (last,) = self._db.execute("SELECT max(number) FROM users").fetchone()
        user = UserRow((last or 0) + 1, stored, born, state)
        self._db.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", user.row())
        return user

    def set_state(self, user: UserRow, state: UserState) -> UserRow:
        """Replaces a user's state."""
        changed = replace(user, state=state)
        self._db.execute("REPLACE INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", changed.row())
        return changed

    def items(self, user: UserRow) -> list[HistoryItem]:
        """The user's items, in order."""
        rows = self._db.execute("SELECT * FROM items WHERE place >= ? AND place < ? ORDER BY place", user.places)
        return items_of(user, rows.fetchall())

    def page(self, user: UserRow, first: int, limit: int) -> list[HistoryItem]:
        """The user's items from place `first` on, `limit` at most."""
        start, end = user.places[0] + first, min(user.places[0] + first + limit, user.places[1])
        rows = self._db.execute("SELECT * FROM items WHERE place >= ? AND place < ? ORDER BY place", (start, end))
        return items_from(user, first, rows.fetchall())

    def drop_item(self, user: UserRow, i: int, later: Sequence[HistoryItem]) -> None:
        """Removes the user's i-th item; `later`, those behind it, move up."""
        last = user.places[0] + i + len(later)
        self._db.execute("DELETE FROM items WHERE place >= ? AND place <= ?", (user.places[0] + i, last))
        self.put_items(user, list(enumerate(later, i)))

    def put_items(self, user: UserRow, items: Sequence[tuple[int, HistoryItem]]) -> None:
        """Writes items at their places in the user's history, in place of those there."""
        rows: list[Row] = [item_row(user, i, item) for i, item in items]
        self._db.executemany("REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def remove(self, user: UserRow) -> None:
        """The user and the items. They are overwritten with zeros, but not where pages once moved: `scrub`."""
        self._db.execute("DELETE FROM items WHERE place >= ? AND place < ?", user.places)
        self._db.execute("DELETE FROM users WHERE number = ?", (user.number,))

    def scrub(self) -> None:
        """Writes the file anew, without what was deleted; outside of transactions. Others wait for it."""
        seen = self.about().deletions
        self._db.execute("VACUUM")
        with self.transaction(writing=True):
            about = self.about()
            self.set_about(replace(about, scrubbed=max(about.scrubbed, seen)))

    def _pragma(self, name: str) -> object:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]


def inode(path: Path) -> tuple[int, int]:
    """Which file is at `path`. Raises OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino
