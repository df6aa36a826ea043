"""Lines of a stage that asks an LLM: progress where there is no terminal, and what its rate limits hold back."""

import math
import sys
import time
from collections.abc import Callable

from hydra_ray.llm.rate_limits import Wait
from hydra_ray.utils.periodic import PeriodicTask

EVERY_S = 5.0
WAITS_EVERY_S = 30.0


def line(label: str, done: int, total: int, seconds: float) -> str:
    """`[label] done/total  calls/s  ETA`. seconds: since the first.

    done: may be above the total, where a worker was lost and another has asked for the same again.
    """
    done = min(done, total)
    speed = done / seconds if seconds > 0 else 0.0
    left = f"{(total - done) / speed:.0f} s" if speed > 0 else "?"
    return f"[{label}] {done}/{total}  {speed:.1f}/s  ETA {left}"


class PlainProgress(PeriodicTask):
    """Prints `line` to stderr while the block runs. count: how many are done now."""

    def __init__(self, label: str, total: int, count: Callable[[], int], every_s: float = EVERY_S) -> None:
        super().__init__(self._print, every_s)
        self._label, self._total, self._count = label, total, count
        self._began = time.monotonic()

    def _print(self) -> None:
        text = line(self._label, self._count(), self._total, time.monotonic() - self._began)
        print(text, file=sys.stderr, flush=True)


class WaitLines(PeriodicTask):
    """Prints to stderr, at most every WAITS_EVERY_S, which rate limit holds calls back.

    waited: the longest wait since it was last called, None if there was none.
    """

    def __init__(
        self,
        label: str,
        waited: Callable[[], Wait | None],
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__(self._print, every_s)
        self._label, self._waited, self._clock = label, waited, clock
        self._next_line_at = -math.inf

    def _print(self) -> None:
        if self._clock() < self._next_line_at:
            return
        wait = self._waited()
        if wait is not None:
            self._next_line_at = self._clock() + WAITS_EVERY_S
            line = f"[{self._label}] calls wait for {wait.limit}: {wait.seconds:.1f} s before the next one"
            print(line, file=sys.stderr, flush=True)
