"""Which worker has which user's fit, until when: one small SQLite file next to the users' own.

Users stand in it as hashes, so that a deleted one leaves no name.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.serve.state.private_files import private_files

FILE = "fits.sqlite"
_TABLE = "CREATE TABLE IF NOT EXISTS leases (user BLOB PRIMARY KEY, worker TEXT NOT NULL, ends REAL NOT NULL)"


class FitLeases:
    """Every method raises UserError, which names the file, where it cannot be used."""

    def __init__(self, folder: Path, busy_s: float) -> None:
        """busy_s: how long to wait for another process's transaction."""
        self._file, self._busy_s = folder / FILE, busy_s

    @contextlib.contextmanager
    def claiming(self, worker: str, lease_s: float) -> Iterator["Claims"]:
        """One worker at a time looks for users to take; what it took counts when the block has ended."""
        with self._open() as db:
            yield Claims(db, worker, time.time() + lease_s)

    def renew(self, worker: str, users: list[str], lease_s: float) -> None:
        """The worker's leases of these users (stored ids) end `lease_s` from now."""
        with self._open() as db:
            db.executemany(
                "UPDATE leases SET ends = ? WHERE user = ? AND worker = ?",
                [(time.time() + lease_s, _hash(user), worker) for user in users],
            )

    def release(self, worker: str, user: str, wait_s: float) -> None:
        """Ends a lease of the worker's; wait_s: not before so many seconds from now."""
        with self._open() as db:
            db.execute(
                "UPDATE leases SET ends = ?, worker = '' WHERE user = ? AND worker = ?",
                (time.time() + wait_s, _hash(user), worker),
            )

    def drop(self, user: str) -> None:
        """Ends every lease of a user who is gone."""
        if self._file.exists():
            with self._open() as db:
                db.execute("DELETE FROM leases WHERE user = ?", (_hash(user),))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Opened for each use: the file may lie on network storage. All or nothing."""
        try:
            with private_files(), contextlib.closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(_TABLE)
                db.execute("DELETE FROM leases WHERE ends < ?", (time.time(),))
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise UserError(f"{self._file}: cannot be used: {error}; fits wait") from None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, self._busy_s, isolation_level=None, check_same_thread=False)


class Claims:
    """A look for users to take, inside a transaction."""

    def __init__(self, db: sqlite3.Connection, worker: str, ends: float) -> None:
        self._db, self._worker, self._ends = db, worker, ends

    def take(self, user: str) -> bool:
        """Takes a user (stored id); False: another worker has it, or it is to wait."""
        made = self._db.execute(
            "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (_hash(user), self._worker, self._ends)
        )
        return made.rowcount == 1


def _hash(user: str) -> bytes:
    return hashlib.blake2b(user.encode(), digest_size=16).digest()
