"""What keys have been used for, in one small SQLite file of the state folder."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydra_ray.serve.state.private_files import private_files
from hydra_ray.serve.state.usage import KEPT_DAYS, KEPT_MINUTES, Slot, UsageUnavailableError, Used

FILE = "usage.sqlite"
BUSY_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS days (day TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    requests INTEGER NOT NULL, refused INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (tenant, key, day));
CREATE TABLE IF NOT EXISTS minutes (minute INTEGER NOT NULL, key TEXT NOT NULL, requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL, PRIMARY KEY (key, minute));
"""


class UsageFile:
    """See `hydra_ray.serve.state.usage.UsageStore`."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE

    def add(self, counted: Mapping[Slot, Used], minute: int) -> dict[str, Used]:
        with self._open() as db:
            for slot, used in counted.items():
                db.execute(
                    "INSERT INTO days VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, key, day) DO UPDATE SET"
                    " name = excluded.name, requests = requests + excluded.requests,"
                    " refused = refused + excluded.refused, tokens = tokens + excluded.tokens",
                    (slot.day, slot.tenant, slot.key, slot.name, used.requests, used.refused, used.tokens),
                )
                db.execute(
                    "INSERT INTO minutes VALUES (?, ?, ?, ?) ON CONFLICT (key, minute) DO UPDATE SET"
                    " requests = requests + excluded.requests, tokens = tokens + excluded.tokens",
                    (slot.minute, slot.key, used.requests, used.tokens),
                )
            db.execute("DELETE FROM minutes WHERE minute < ?", (minute - KEPT_MINUTES,))
            db.execute("DELETE FROM days WHERE day < date('now', ?)", (f"-{KEPT_DAYS} days",))
            rows = db.execute("SELECT key, requests, tokens FROM minutes WHERE minute = ?", (minute,)).fetchall()
        return {key: Used(requests, 0, tokens) for key, requests, tokens in rows}

    def days(self, tenant: str, since: str) -> list[tuple[Slot, Used]]:
        with self._open() as db:
            rows = db.execute(
                "SELECT key, name, day, requests, refused, tokens FROM days WHERE tenant = ? AND day >= ?"
                " ORDER BY day, name, key",
                (tenant, since),
            ).fetchall()
        return [(Slot(tenant, key, name, day, 0), Used(*counts)) for key, name, day, *counts in rows]

    def all_days(self) -> list[tuple[Slot, Used]]:
        with self._open() as db:
            rows = db.execute(
                "SELECT tenant, key, name, day, requests, refused, tokens FROM days ORDER BY day, tenant, name, key"
            ).fetchall()
        return [(Slot(tenant, key, name, day, 0), Used(*counts)) for tenant, key, name, day, *counts in rows]

    def put_days(self, days: list[tuple[Slot, Used]]) -> None:
        with self._open() as db:
            db.executemany(
                "REPLACE INTO days VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(s.day, s.tenant, s.key, s.name, used.requests, used.refused, used.tokens) for s, used in days],
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Opened for each use, which is seldom: the file may lie on network storage. All or nothing."""
        try:
            if not self._file.exists():
                with private_files(), contextlib.closing(sqlite3.connect(self._file, BUSY_S)) as db:
                    db.executescript(_TABLES)
            with contextlib.closing(sqlite3.connect(self._file, BUSY_S, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise UsageUnavailableError(f"{self._file}: cannot be used: {error}") from None
