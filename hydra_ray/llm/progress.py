"""Progress where there is no terminal: one plain line every few seconds."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

EVERY_S = 5.0


def line(label: str, done: int, total: int, seconds: float) -> str:
    """`[label] done/total  calls/s  ETA`. seconds: since the first."""
    speed = done / seconds if seconds > 0 else 0.0
    left = f"{(total - done) / speed:.0f} s" if speed > 0 else "?"
    return f"[{label}] {done}/{total}  {speed:.1f}/s  ETA {left}"


class PlainProgress:
    """Prints `line` to stderr from a thread while the block runs. count: how many are done now."""

    def __init__(self, label: str, total: int, count: Callable[[], int], every_s: float = EVERY_S) -> None:
        self._label, self._total, self._count, self._every_s = label, total, count, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "PlainProgress":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._print()

    def _tick(self) -> None:
        while not self._stop.wait(self._every_s):
            self._print()

    def _print(self) -> None:
        text = line(self._label, self._count(), self._total, time.monotonic() - self._began)
        print(text, file=sys.stderr, flush=True)
