"""One process at a time at something that many share."""

import contextlib
import errno
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
        log: gets a line where another process has the lock, which is then waited for, and where there are no locks.

    Raises:
        OSError: the file cannot be made or opened.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, fallback_to_soft=False)  # a soft lock would outlive a killed process
    try:
        _acquire(lock, log)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log(f"{file.parent} has no locks ({error.strerror}): let nothing else work there at the same time")
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, log: Callable[[str], None]) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log("another run is at it, waiting")
        lock.acquire(poll_interval=POLL_S)
