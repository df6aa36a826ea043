"""Lines on how far a training is, and how long it will take."""

import time
from collections.abc import Callable

SECONDS = 5.0
"""From one line to the next, at least."""


class Pace:
    """Of one training of so many epochs, all with as many steps."""

    def __init__(self, log: Callable[[str], None], epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins to count. clock: seconds."""
        self._log, self._epochs, self._clock = log, epochs, clock
        self._began = self._spoke = clock()
        self._done = 0

    def step(self, epoch: int, number: int, steps: int) -> None:
        """A step is done. epoch: its own, from 0. number: its own in the epoch, from 1. steps: of each epoch."""
        self._done += 1
        now, left = self._clock(), steps * (self._epochs - epoch) - number
        if left and now - self._spoke >= SECONDS:
            self._spoke = now
            eta = (now - self._began) / self._done * left
            self._log(f"epoch {epoch + 1}/{self._epochs} step {number}/{steps} ETA {eta:.0f} s")
