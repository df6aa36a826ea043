"""A circuit breaker (Nygard 2007, Release It!): after failures in a row no caller waits for a server that is down.

closed: every attempt goes out. open: none does, for `open_s`. half-open: one goes out, the probe; its success closes
the circuit, its failure opens it again. For one event loop; no locks.
"""

import time
from collections import deque
from collections.abc import Callable


class CircuitOpenError(Exception):
    """No attempt now; the next may go out after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the last attempts failed; none is made for a moment")
        self.retry_after_s = retry_after_s


class CircuitBreaker:
    """failures: in a row, all within `window_s` seconds, that open the circuit for `open_s`. clock: seconds."""

    def __init__(
        self,
        failures: int = 5,
        window_s: float = 10.0,
        open_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_s, self._open_s, self._clock = window_s, open_s, clock
        self._failed: deque[float] = deque(maxlen=failures)
        self._open_until: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether attempts go out freely."""
        return self._open_until is None

    def check(self) -> None:
        """Raises CircuitOpenError if no attempt would be admitted now."""
        if self._open_until is None:
            return
        left = self._open_until - self._clock()
        if left > 0 or self._probing:
            raise CircuitOpenError(left if left > 0 else self._open_s)

    def admit(self) -> bool:
        """Whether this attempt is the probe. Each attempt admitted must end in one of the three methods below.

        Raises CircuitOpenError.
        """
        self.check()
        self._probing = not self.closed
        return self._probing

    def succeeded(self) -> None:
        """The server answered a call."""
        self._failed.clear()
        self._open_until, self._probing = None, False

    def failed(self, probe: bool) -> None:
        """The server did not answer. probe: what `admit` returned."""
        now = self._clock()
        self._failed.append(now)
        many = len(self._failed) == self._failed.maxlen and now - self._failed[0] <= self._window_s
        if probe or (many and self.closed):
            self._open_until, self._probing = now + self._open_s, False

    def abandoned(self, probe: bool) -> None:
        """The attempt ended without saying anything about the server (its caller left). The next may be the probe."""
        if probe:
            self._probing = False
