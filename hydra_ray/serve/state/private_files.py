"""Users' data is for the service's own account alone: files 0600 in folders 0700, whatever the umask says."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """What the process makes meanwhile is its owner's alone; in all threads, as a process has one umask."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def private_from_now_on() -> None:
    """The same for the rest of the process: for replicas, whose libraries write files too."""
    os.umask(_OTHERS)


def make_private(folder: Path) -> None:
    """Makes the folder, or closes the one that is there to others, and so what is in it. Raises OSError, but not for
    one that belongs to another account: who owns it decides."""
    with private_files():
        folder.mkdir(parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid == os.geteuid() and about.st_mode & _OTHERS:
        folder.chmod(0o700)
