"""What keys have been used for: requests and tokens by key and day, kept in the state folder, shared by all gateways.

One small SQLite file. Gateways add what they counted every few seconds and read what all have counted in the current
minute, so that a key's limits hold across them (within those seconds).
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.serve.state.private_files import private_files

FILE = "usage.sqlite"
BUSY_S = 5.0
KEPT_DAYS = 400
_TABLES = """
CREATE TABLE IF NOT EXISTS days (day TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    requests INTEGER NOT NULL, refused INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (tenant, key, day));
CREATE TABLE IF NOT EXISTS minutes (minute INTEGER NOT NULL, key TEXT NOT NULL, requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL, PRIMARY KEY (key, minute));
"""


@dataclass(frozen=True)
class Used:
    """requests: that were let in. refused: over the key's limits. tokens: of the LLM, prompts and answers."""

    requests: int = 0
    refused: int = 0
    tokens: int = 0

    def __add__(self, more: "Used") -> "Used":
        return Used(self.requests + more.requests, self.refused + more.refused, self.tokens + more.tokens)

    def __sub__(self, less: "Used") -> "Used":
        return Used(self.requests - less.requests, self.refused - less.refused, self.tokens - less.tokens)


@dataclass(frozen=True)
class Slot:
    """Whose use, and when. day: `2027-06-30`, UTC. minute: since 1970."""

    tenant: str
    key: str
    name: str
    day: str
    minute: int


class UsageFile:
    """Every method raises sqlite3.Error or OSError where the file cannot be used."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE

    def add(self, counted: Mapping[Slot, Used], minute: int) -> dict[str, Used]:
        """Adds what was counted; returns what all gateways have counted in `minute`, by key."""
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
            db.execute("DELETE FROM minutes WHERE minute < ?", (minute - 5,))
            db.execute("DELETE FROM days WHERE day < date('now', ?)", (f"-{KEPT_DAYS} days",))
            rows = db.execute("SELECT key, requests, tokens FROM minutes WHERE minute = ?", (minute,)).fetchall()
        return {key: Used(requests, 0, tokens) for key, requests, tokens in rows}

    def days(self, tenant: str, since: str) -> list[tuple[Slot, Used]]:
        """The tenant's use from the day `since` on, by day and key."""
        with self._open() as db:
            rows = db.execute(
                "SELECT key, name, day, requests, refused, tokens FROM days WHERE tenant = ? AND day >= ?"
                " ORDER BY day, name, key",
                (tenant, since),
            ).fetchall()
        return [(Slot(tenant, key, name, day, 0), Used(*counts)) for key, name, day, *counts in rows]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Opened for each use, which is seldom: the file may lie on network storage. All or nothing."""
        if not self._file.exists():
            with private_files(), contextlib.closing(sqlite3.connect(self._file, BUSY_S)) as db:
                db.executescript(_TABLES)
        with contextlib.closing(sqlite3.connect(self._file, BUSY_S, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
