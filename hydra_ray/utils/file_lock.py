"""One process at a time at something that many share."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive_lock(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock `file`, which ends with the process; on storage without locks, nothing. Raises OSError.

    say: is called when another process has the lock, or that there are none.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is at it, waiting")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            say(f"{file.parent} has no locks ({error.strerror}): let nothing else work there at the same time")
        yield
