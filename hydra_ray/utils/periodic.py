"""Something done periodically, in the background."""

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class PeriodicTask:
    """Calls `work` every `every_s` seconds from a thread while the block runs.

    at_end: and once more when it ends.
    slowing, longest_s: wait at least so many times the seconds since the beginning, up to `longest_s`, so that a long
    run costs little.
    """

    def __init__(
        self,
        work: Callable[[], object],
        every_s: float,
        slowing: float = 0.0,
        longest_s: float = math.inf,
        *,
        at_end: bool = True,
    ) -> None:
        self._work, self._every_s, self._slowing, self._longest_s = work, every_s, slowing, longest_s
        self._at_end = at_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins, without an end: the thread ends with the process."""
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        if self._at_end:
            self._work()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(self._next(time.monotonic() - began)):
            self._work()

    def _next(self, passed_s: float) -> float:
        return max(self._every_s, min(self._slowing * passed_s, self._longest_s))
