"""The ledger of a run root: response cache, counts per run, and the hard budget, in one SQLite file.

Every method is one short transaction (write-ahead log, committed before it returns), so that a process killed at any
moment loses no answer it had noted, and several workers, or several processes, never overdraw the budget together.
"""

import json
import math
import sqlite3
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hydra_ray.errors import UserError
from hydra_ray.llm.rate_headers import Rates
from hydra_ray.llm.rate_limits import RateLimits, Wait
from hydra_ray.llm.types import CachedResponse, without_surrogates

FILE = "cache/llm.sqlite"
"""Under a run's root."""

WAIT = 0
REFUSED = -1
LIMITED = -2
"""The server has refused so often in a row, for its rate limits, that it is not asked again for a while."""
LOST_AFTER_S = 300.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
  run TEXT PRIMARY KEY, calls INTEGER NOT NULL DEFAULT 0, cached INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
  cost REAL NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS in_flight (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, owner TEXT NOT NULL, cost REAL NOT NULL);
CREATE TABLE IF NOT EXISTS unsaved (archive TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (archive, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer_files (archive TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (archive, name))
  WITHOUT ROWID;
"""


class CallOutcome(NamedTuple):
    """How one reserved call ended. `record` (with its `key`) is kept; the other fields are added to the run's counts.

    reservation: what `exchange` granted. calls: 1 if it was answered or may have been billed, else 0. cost: in the
    currency of `llm.price_*`. rates: the response's headers about rate limits. sent: False if it never went out.
    """

    reservation: int
    key: str | None = None
    record: CachedResponse | None = None
    calls: int = 0
    cost: float = 0.0
    retries: int = 0
    failed: int = 0
    rates: Rates | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run has used so far, earlier processes of the same run included.

    calls: paid calls. cached: calls that the cache answered. lost: calls that were in flight when a process was killed;
    they may have been billed, so they count against the budget. retries: attempts after the first. failed: calls given
    up or refused by the server.
    """

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    retries: int = 0
    failed: int = 0
    lost: int = 0


class ResponseCache:
    """One owner per run root. Thread-safe; a file may also be shared by processes of one machine.

    file: created with its folder. run: whose counts and budget these are; the responses are shared by all runs.
    max_calls, max_cost: the budget of `run` over all its processes; None is unlimited. lost_after_s: a reservation that
    is not settled by then belongs to a worker that is gone; its call counts as made. More than a call can take.
    archive: URL of the archive that is to have every record, see `hydra_ray.llm.archived_answers`.
    Raises UserError if the file is not a ledger or cannot be written.
    """

    def __init__(
        self,
        file: Path,
        run: str,
        *,
        max_calls: int | None = None,
        max_cost: float | None = None,
        lost_after_s: float = LOST_AFTER_S,
        archive: str | None = None,
    ) -> None:
        self.archive = archive
        self.file = file
        self.run = run
        self.max_calls = max_calls
        self.max_cost = max_cost
        self._lost_after_s = lost_after_s
        self.limits = RateLimits()
        self._made: dict[int, tuple[float, float]] = {}  # my reservations: when, and for how many tokens
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._done = 0
        self._waited: Wait | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO runs (run) VALUES (?)", (run,))
            if archive and not self.answer_files():  # an archive that is new to this file lacks all of it
                self._db.execute("INSERT OR IGNORE INTO unsaved SELECT ?, key FROM responses", (archive,))
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{file}: cannot be used as response cache ({error}): move it away or set `root`") from None

    def get_many(self, keys: Sequence[str]) -> list[CachedResponse | None]:
        """The records kept under `keys`, None where there is none; each one found counts as a cached call."""
        with self._lock:
            found = self._find(keys)
            records = [found.get(key) for key in keys]
            hits = sum(record is not None for record in records)
            if hits:
                self._db.execute("UPDATE runs SET cached = cached + ? WHERE run = ?", (hits, self.run))
        return records

    def look_up(self, keys: Sequence[str]) -> dict[str, CachedResponse]:
        """The records that are kept, by key, for someone who only looks: they do not count as cached calls."""
        with self._lock:
            return self._find(keys)

    def _find(self, keys: Sequence[str]) -> dict[str, CachedResponse]:
        found: dict[str, CachedResponse] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT key, record FROM responses WHERE key IN ({marks})", part)
            found |= {key: _record(blob) for key, blob in rows}
        return found

    def exchange(
        self, settled: Sequence[CallOutcome], wanted: Sequence[float] = (), done: int = 0, tokens: Sequence[float] = ()
    ) -> list[int]:
        """Notes ended calls, then reserves new ones, in one transaction. A call that is noted already counts no more,
        so that notes may be sent again whose exchange failed or was not heard of.

        wanted: the most each new call can cost. done: requests finished since the last exchange (see `done`).
        tokens: of each new call, about, for the rate limits; none: 0 each.
        Returns for each wanted call its reservation (> 0), REFUSED if the budget is used up, LIMITED if the server no
        longer answers for its rate limits, or WAIT if it fits only should a call in flight turn out cheaper than
        feared, or if the rate limits hold it back (see `pause_s`). Raises UserError if the file cannot be written;
        nothing is noted then.
        """
        try:
            with self._lock:
                newest = max(self._made, default=0)
                try:
                    with self._transaction():
                        if settled:
                            self._note(settled)
                        granted = self._reserve(wanted, tokens or [0.0] * len(wanted)) if wanted else []
                except BaseException:
                    for number in [number for number in self._made if number > newest]:
                        self.limits.give_back(self._made.pop(number)[1])
                    raise
                self._done += done
        except sqlite3.Error as error:
            raise UserError(
                f"{self.file}: cannot be written ({error}): free space on its disk, or end what holds the file, and "
                "run again; what it has noted so far is kept"
            ) from None
        return granted

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What is written meanwhile is on disk in the end, or none of it is."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors have ended it
                self._db.execute("ROLLBACK")
            raise

    def _note(self, settled: Sequence[CallOutcome]) -> None:
        kept = [(s.key, zlib.compress(json.dumps(s.record).encode(), 1)) for s in settled if s.record is not None]
        self._db.executemany("INSERT OR REPLACE INTO responses (key, record) VALUES (?, ?)", kept)
        if self.archive:
            unsaved = [(self.archive, key) for key, _ in kept]
            self._db.executemany("INSERT OR IGNORE INTO unsaved VALUES (?, ?)", unsaved)
        ended_now = "DELETE FROM in_flight WHERE id = ?"
        settled = [s for s in settled if self._db.execute(ended_now, (s.reservation,)).rowcount]
        self._db.execute(
            "UPDATE runs SET calls = calls + ?, prompt_tokens = prompt_tokens + ?, completion_tokens ="
            " completion_tokens + ?, cost = cost + ?, retries = retries + ?, failed = failed + ? WHERE run = ?",
            (
                sum(s.calls for s in settled),
                sum(s.record["prompt_tokens"] for s in settled if s.record),
                sum(s.record["completion_tokens"] for s in settled if s.record),
                sum(s.cost for s in settled),
                sum(s.retries for s in settled),
                sum(s.failed for s in settled),
                self.run,
            ),
        )
        for ended in settled:
            self._learn(ended)

    def _learn(self, ended: CallOutcome) -> None:
        """Passes on to the rate limits how a call ended."""
        mine = ended.reservation in self._made
        went_out, drawn = self._made.pop(ended.reservation, (-math.inf, 0.0))
        if ended.record is not None:
            self.limits.settle(drawn, ended.record["prompt_tokens"] + ended.record["completion_tokens"])
            self.limits.answered()
        elif mine and not ended.sent:
            self.limits.give_back(drawn)
        elif not ended.calls:  # else it may have used them
            self.limits.settle(drawn, 0.0)
        if ended.rates is not None:
            flying = self._flying()
            self.limits.learn(ended.rates, len(flying), sum(flying), went_out)

    def _flying(self) -> list[float]:
        """Tokens of each call in flight; those of workers that are gone do not count."""
        now = time.monotonic()
        return [tokens for when, tokens in self._made.values() if now - when <= self._lost_after_s]

    def _reserve(self, wanted: Sequence[float], tokens: Sequence[float]) -> list[int]:
        calls, cost = self._db.execute("SELECT calls, cost FROM runs WHERE run = ?", (self.run,)).fetchone()
        pending_calls, pending_cost = 0, 0.0
        now = time.monotonic()
        for number, feared in self._db.execute("SELECT id, cost FROM in_flight WHERE run = ?", (self.run,)):
            if now - self._made.get(number, (-math.inf, 0.0))[0] <= self._lost_after_s:
                pending_calls, pending_cost = pending_calls + 1, pending_cost + feared
            else:  # of a process, or a worker, that is gone
                calls, cost = calls + 1, cost + feared
        granted: list[int] = []
        held_back = False  # none overtakes a call that waits
        for most, size in zip(wanted, tokens, strict=True):
            if not self._fits(calls + pending_calls + 1, cost + pending_cost + most):
                granted.append(WAIT if pending_calls and self._fits(calls + 1, cost + most) else REFUSED)
            elif self.limits.given_up:
                granted.append(LIMITED)
            elif held_back or self.limits.wait_s(size, pending_calls) > 0:
                if not held_back:
                    self._note_wait(self.limits.wait(size))
                held_back = True
                granted.append(WAIT)
            else:
                row = self._db.execute(
                    "INSERT INTO in_flight (run, owner, cost) VALUES (?, ?, ?)", (self.run, self._owner, most)
                )
                number = row.lastrowid or 0
                granted.append(number)
                self._made[number] = (now, self.limits.draw(size))
                pending_calls, pending_cost = pending_calls + 1, pending_cost + most
        return granted

    def pause_s(self, tokens: float) -> float:
        """Seconds before a call of so many tokens can be let out; infinite while only a call in flight can end that."""
        with self._lock:
            return self.limits.wait_s(tokens, len(self._flying()))

    def _note_wait(self, wait: Wait) -> None:
        if wait.seconds > (self._waited.seconds if self._waited else 0.0):
            self._waited = wait

    def waited(self) -> Wait | None:
        """The longest wait for a rate limit since this was last asked for; None if no call had to wait."""
        with self._lock:
            wait, self._waited = self._waited, None
        return wait

    def _fits(self, calls: int, cost: float) -> bool:
        return (self.max_calls is None or calls <= self.max_calls) and (
            self.max_cost is None or cost <= self.max_cost * (1 + 1e-9)
        )

    def counts(self) -> Counts:
        """What this run has used so far."""
        with self._lock:
            row = self._db.execute(
                "SELECT calls, cached, prompt_tokens, completion_tokens, cost, retries, failed FROM runs WHERE run = ?",
                (self.run,),
            ).fetchone()
            lost = self._db.execute(
                "SELECT count(*) FROM in_flight WHERE run = ? AND owner != ?", (self.run, self._owner)
            ).fetchone()
        return Counts(*row, *lost)

    def answer_files(self) -> set[str]:
        """Names of the archive's files whose records are all here."""
        with self._lock:
            rows = self._db.execute("SELECT name FROM answer_files WHERE archive = ?", (self.archive,)).fetchall()
        return {name for (name,) in rows}

    def unsaved(self, most: int) -> list[tuple[str, bytes]]:
        """Keys and records, as they are kept, that the archive does not have yet."""
        with self._lock:
            rows = self._db.execute(
                "SELECT key, record FROM unsaved JOIN responses USING (key) WHERE archive = ? LIMIT ?",
                (self.archive, most),
            )
            return rows.fetchall()

    def saved(self, keys: Sequence[str], name: str) -> None:
        """Notes that a file of the archive has the records of these keys, and none that is not here."""
        with self._lock, self._transaction():
            self._db.execute("INSERT OR IGNORE INTO answer_files VALUES (?, ?)", (self.archive, name))
            mine = [(self.archive, key) for key in keys]
            self._db.executemany("DELETE FROM unsaved WHERE archive = ? AND key = ?", mine)

    def merge(self, rows: Sequence[tuple[str, bytes]], name: str) -> int:
        """Adds the records of a file of the archive that are not here. Returns how many there were."""
        with self._lock, self._transaction():
            before = self._db.total_changes
            self._db.executemany("INSERT OR IGNORE INTO responses (key, record) VALUES (?, ?)", rows)
            came = self._db.total_changes - before
            self._db.execute("INSERT OR IGNORE INTO answer_files VALUES (?, ?)", (self.archive, name))
        return came

    def used(self) -> Counts:
        """As `counts`, and calls that are in flight now count as made: they may be billed."""
        with self._lock:
            flying, cost = self._db.execute(
                "SELECT count(*), coalesce(sum(cost), 0) FROM in_flight WHERE run = ?", (self.run,)
            ).fetchone()
        now = self.counts()
        return replace(now, calls=now.calls + flying, cost=now.cost + cost, lost=0)

    def count_at_least(self, used: Counts) -> None:
        """Raises the run's counts to what it is known to have used, here or elsewhere."""
        names = ("calls", "cached", "prompt_tokens", "completion_tokens", "cost", "retries", "failed")
        columns = ", ".join(f"{name} = max({name}, ?)" for name in names)
        with self._lock:
            self._db.execute(
                f"UPDATE runs SET {columns} WHERE run = ?", (*(getattr(used, name) for name in names), self.run)
            )

    def done(self) -> int:
        """Requests that were finished through this ledger since it was opened, cached and failed ones included."""
        return self._done

    def budget_message(self) -> str:
        """One line that says which limit was reached and what to do."""
        used = self.counts()
        limit = f"llm.max_calls={self.max_calls}"
        if self.max_calls is None or used.calls + used.lost < self.max_calls:
            limit = f"llm.max_cost={self.max_cost}"
        return (
            f"{limit}: budget of run {self.run!r} reached after {used.calls} calls and a cost of {used.cost:.6g}"
            f"{f' ({used.lost} calls lost in flight)' if used.lost else ''}: raise the limit and run again, "
            f"everything answered so far is kept in {self.file}"
        )

    def close(self) -> None:
        """Closes the file; noting anything afterwards is an error."""
        with self._lock:
            self._db.close()


def _record(blob: bytes) -> CachedResponse:
    """A kept record; halves of characters, which earlier versions kept, are mended."""
    record: CachedResponse = json.loads(zlib.decompress(blob))
    record["texts"] = [without_surrogates(text) for text in record["texts"]]
    return record
