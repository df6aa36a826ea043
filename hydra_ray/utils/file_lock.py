"""One process at a time at something that many share."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.2
"""Between two looks at a lock that another process holds."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)
"""What storage without locks answers."""


@contextlib.contextmanager
def exclusive_lock(file: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock `file`, which ends with the process; on storage without locks, nothing.

    Args:
        file: made where it is missing, with its folder; it stays when the lock ends.
        log: gets a line where another process has the lock, which is then waited for: on which host it is, its id, and
            since when it has the lock. Likewise where there are no locks.

    Raises:
        OSError: the file cannot be made or opened.
    """
    with _tried(file, log) as (lock, holder):
        if holder is not None:
            log(f"another run is at it{_named(holder)}, waiting")
            lock.acquire(poll_interval=POLL_S)
        with contextlib.suppress(OSError):  # on a full disk, a holder without a name
            file.write_text(_myself())
        yield


@contextlib.contextmanager
def lock_or_holder(file: Path, note: str) -> Iterator[str | None]:
    """Holds the lock `file` until the block ends, or yields who has it: two lines, of which the second is its note.

    None where this process has it, and on storage without locks. Never waits. Raises OSError if the file cannot be
    made or written.
    """
    with _tried(file) as (_, holder):
        if holder is None:
            file.write_text(f"{_myself()}\n{note}\n")
        yield holder


@contextlib.contextmanager
def _tried(file: Path, log: Callable[[str], None] = lambda line: None) -> Iterator[tuple[FileLock, str | None]]:
    """The lock `file`, free again when the block ends, and what is written in it where another process has it now.

    log: gets a line where there are no locks; it counts as held then.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(file, fallback_to_soft=False), None  # a soft lock would outlive a killed process
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = _written(file)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log(f"{file.parent} has no locks ({error.strerror}): let nothing else work there at the same time")
    try:
        yield lock, holder
    finally:
        lock.release()


def _myself() -> str:
    """What the lock's file says of this process. A killed one leaves it behind; only who waits for a lock reads it."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return f"host {socket.gethostname()}, process {os.getpid()}, since {now}"


def _written(file: Path) -> str:
    """What is in the lock's file; empty where it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _named(holder: str) -> str:
    """Who has the lock, in parentheses; empty where its file does not say."""
    words = " ".join(holder.split())
    return f" ({words[:200]})" if words else ""
