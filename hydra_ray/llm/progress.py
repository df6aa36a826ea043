"""Progress where there is no terminal: one plain line every few seconds."""

import sys
import time
from collections.abc import Callable

from hydra_ray.repeating import Repeating

EVERY_S = 5.0


def line(label: str, done: int, total: int, seconds: float) -> str:
    """`[label] done/total  calls/s  ETA`. seconds: since the first."""
    speed = done / seconds if seconds > 0 else 0.0
    left = f"{(total - done) / speed:.0f} s" if speed > 0 else "?"
    return f"[{label}] {done}/{total}  {speed:.1f}/s  ETA {left}"


class PlainProgress(Repeating):
    """Prints `line` to stderr while the block runs. count: how many are done now."""

    def __init__(self, label: str, total: int, count: Callable[[], int], every_s: float = EVERY_S) -> None:
        super().__init__(self._print, every_s)
        self._label, self._total, self._count = label, total, count
        self._began = time.monotonic()

    def _print(self) -> None:
        text = line(self._label, self._count(), self._total, time.monotonic() - self._began)
        print(text, file=sys.stderr, flush=True)
