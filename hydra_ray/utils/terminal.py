"""Standard output and error on terminals of any encoding: what one lacks is replaced, never an error."""

import codecs
import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_PLAIN = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2191": "^", "\u2193": "v", "\u00b1": "~", "\u2026": ".",
    "\u2020": "+", "\u00d7": "x", "\u00b5": "u", "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'",
    "\u00a0": " ",
}  # fmt: skip
"""What stands for a character that the terminal lacks; for all others, `?`. As wide, so that tables stay straight."""
_HANDLER = "hydra_ray.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


def use_plain_characters() -> None:
    """From here on, this process's output holds `-`, `^`, `?` and the like for what its terminal cannot show."""
    codecs.register_error(_HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def on_hangup(then: Callable[[], None]) -> None:
    """Calls `then`, in the main thread, when the terminal is closed or the process gets SIGHUP, whose default is to
    end it at once and leave its children behind. Not where the signal is ignored, as under `nohup`.

    What is printed to a closed terminal afterwards goes nowhere instead of failing.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return
    terminals = [file for file in (1, 2) if os.isatty(file)]

    def hung_up(number: int, frame: FrameType | None) -> None:
        del number, frame
        if terminals:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for file in terminals:
                os.dup2(nowhere, file)
            os.close(nowhere)
        then()

    signal.signal(signal.SIGHUP, hung_up)


def on_terminate(then: Callable[[], None]) -> None:
    """Calls `then`, in the main thread, when the process gets SIGTERM, as from `kill`, `timeout` or a scheduler. Its
    default ends the process at once and leaves its children behind. Not where the signal is ignored."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, lambda number, frame: then())


@contextlib.contextmanager
def sigterm_kept() -> Iterator[None]:
    """What SIGTERM does is the same afterwards: Ray's own handler ends the process with a dump of its stack and leaves
    its other processes behind."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def is_output_closed() -> bool:
    """Whether the reader of standard output or error (`| head`) has gone. Then both go nowhere from here on."""
    poll = select.poll()
    files = [stream.fileno() for stream in (sys.stdout, sys.stderr)]
    for file in files:
        poll.register(file, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for file in files:
            os.dup2(nowhere, file)
    return closed
