"""Lines that native code writes to standard error, past Python's own stream."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LAST_WORDS_S = 1.0
"""For the last lines to be passed on."""
STDERR = 2
"""File descriptor."""


@contextmanager
def stderr_without(text: str) -> Iterator[None]:
    """Lines that contain `text` do not appear on this process's standard error, whoever writes them.

    A `grep` passes on all others as they come: what a library says when it aborts the process is not lost. Where there
    is no `grep`, everything appears.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        kept = os.dup(STDERR)
    except OSError:  # closed
        yield
        return
    try:
        # A session of its own: Ctrl-C is not for it.
        grep = subprocess.Popen(
            ["grep", "--line-buffered", "-avF", "-e", text], stdin=subprocess.PIPE, stdout=kept, start_new_session=True
        )
    except OSError:
        os.close(kept)
        yield
        return
    assert grep.stdin is not None
    os.dup2(grep.stdin.fileno(), STDERR)
    grep.stdin.close()
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(kept, STDERR)
        os.close(kept)
        with suppress(subprocess.TimeoutExpired):  # a process that was started meanwhile may still hold the pipe
            grep.wait(LAST_WORDS_S)
