"""One process's connections to the database: opened as needed, kept, and replaced where the server has gone away.

Every query runs in a transaction that names the tenant whose rows it may see: there is no other way in.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hydra_ray.errors import UserError
from hydra_ray.serve.state.postgres.driver import conninfo, psycopg, shown
from hydra_ray.serve.state.users import HistoryUnreadableError, NotStoredError

T = TypeVar("T")
Cursor = Any
"""psycopg's; rows are tuples."""

ALL_TENANTS = "*"
"""What work across tenants names instead of one: fits, migrations, copies. No tenant is called so."""

MOST_CONNECTIONS = 8
"""Of one process; its other threads wait for one of them."""
READ_S, WRITE_S = 2.0, 8.0
"""How long a server that is away is waited for. The gateway gives a call five seconds, and insists on changes."""
AWAY_S = 5.0
"""How long after that a read does not wait again: every question would be held up."""
_PAUSES_S = (0.0, 0.1, 0.2, 0.5)
"""Before further attempts, the last one again and again. The first is always made: a kept connection may be stale."""

_DEFAULTS = {
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "hydra_ray",
    "client_encoding": "UTF8",
}
"""What the URL does not say: a server that vanished without a word is given up after some ten seconds."""

_SESSION = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'"
"""A lock is not waited for without end, and a client that vanished without a word keeps none."""

_CANNOT_WRITE = ("53100", "25006", "42501")
"""SQLSTATE: disk full, read-only, no right."""


class Database:
    """For many threads. Nothing is opened before it is needed."""

    def __init__(
        self, url: str, most: int = MOST_CONNECTIONS, read_s: float = READ_S, write_s: float = WRITE_S
    ) -> None:
        """read_s, write_s: how long a server that is away is waited for. Raises UserError for a URL that is none or
        holds a password."""
        self.name = shown(url)
        self._parameters = {**_DEFAULTS, **conninfo(url)}
        self._read_s, self._write_s = read_s, write_s
        self._away_until = 0.0
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._most, self._slots = most, threading.BoundedSemaphore(most)

    def read(self, tenant: str, work: Callable[[Cursor], T], *, wait_s: float | None = None) -> T:
        """What `work` returns, done in one transaction that sees the tenant's rows alone, or ALL_TENANTS'.

        Tried again as long as the server is away, `wait_s` (`read_s`) at most; not waited for where the last one waited
        in vain, AWAY_S ago at most. Raises HistoryUnreadableError, one line with the database, for whatever goes wrong.
        """
        wait_s = self._read_s if wait_s is None else wait_s
        if time.monotonic() < self._away_until:
            wait_s = 0.0
        return self._tried(tenant, work, wait_s, HistoryUnreadableError)

    def write(self, tenant: str, work: Callable[[Cursor], T], *, wait_s: float | None = None) -> T:
        """Likewise for a change, durable on return. It may be done twice, where the connection is lost in the commit:
        the second time must change nothing. Raises NotStoredError too, where the database can be read but not written.
        """
        return self._tried(tenant, work, self._write_s if wait_s is None else wait_s, UserError)

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _tried(self, tenant: str, work: Callable[[Cursor], T], wait_s: float, refused: type[UserError]) -> T:
        library, deadline, attempt = psycopg(), time.monotonic() + wait_s, 0
        while True:
            try:
                with self._connection(deadline) as connection:
                    connection.execute(_begin(tenant))
                    found = work(connection.cursor())
                    connection.execute("COMMIT")
                self._away_until = 0.0
                return found
            except library.Error as error:
                pause_s = _PAUSES_S[min(attempt, len(_PAUSES_S) - 1)]
                late = attempt > 0 and time.monotonic() + pause_s > deadline
                if late or not _may_pass(error):
                    if late and _is_away(error):
                        self._away_until = time.monotonic() + AWAY_S
                    raise self._worded(error, refused) from None
            self.close()
            time.sleep(pause_s)
            attempt += 1

    @contextlib.contextmanager
    def _connection(self, deadline: float) -> Iterator[Any]:
        """A connection for one transaction; after any error it is closed, and the server undoes what was begun."""
        if not self._slots.acquire(timeout=max(0.1, deadline - time.monotonic())):
            raise HistoryUnreadableError(f"{self.name}: all {self._most} connections of this process are in use")
        try:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = psycopg().connect(**self._parameters, autocommit=True)
                connection.execute(_SESSION)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)
        finally:
            self._slots.release()

    def _worded(self, error: Exception, refused: type[UserError]) -> UserError:
        """The error as what it means, in one line; libpq's own words hold no password."""
        state = getattr(error, "sqlstate", None) or ""
        words = " ".join(str(error).split()) or type(error).__name__
        if state.startswith(_CANNOT_WRITE) and refused is UserError:
            return NotStoredError(f"{self.name}: cannot write: {words}; nothing was written")
        return HistoryUnreadableError(f"{self.name}: cannot be used: {words}")


def _begin(tenant: str) -> bytes:
    """Begins a transaction that sees this tenant's rows alone, in one round trip."""
    return f"BEGIN; SELECT set_config('hydra_ray.tenant', {_literal(tenant)}, true)".encode()


def _literal(text: str) -> str:
    """A text as SQL writes it, whatever it holds."""
    from psycopg.sql import Literal

    return Literal(text).as_string(None)


def _may_pass(error: Exception) -> bool:
    """Whether the same may succeed soon: the server may be back, or the other transaction over."""
    return _is_away(error) or str(getattr(error, "sqlstate", None)).startswith("40")


def _is_away(error: Exception) -> bool:
    """Whether the server cannot be reached: a lost or refused connection, or it starts, stops or is now a standby."""
    library, state = psycopg(), getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, (library.OperationalError, library.InterfaceError))
    return str(state).startswith(("08", "57P", "53300", "25006"))
