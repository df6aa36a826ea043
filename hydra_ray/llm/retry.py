"""When a failed call is tried again, and how long to wait before."""

import email.utils
import random
import time
from collections.abc import Callable

from tenacity import RetryCallState

LONGEST_WAIT_S = 60.0
RETRIED_STATUS = frozenset({408, 409, 425, 429})


class TransientError(Exception):
    """A failure that may pass.

    message: one line, without secrets. status: the HTTP status, None if there was none. retry_after_s: what the server
    asked for. maybe_billed: the server may have done the work (a timeout, a broken connection, an unreadable answer).
    unreachable: no connection could be made at all.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        maybe_billed: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.maybe_billed = maybe_billed
        self.unreachable = unreachable


class RejectedError(Exception):
    """The server will never answer this request (too long, malformed): it is recorded as missing."""


def is_transient(status: int) -> bool:
    """Whether an HTTP status is worth another attempt."""
    return status in RETRIED_STATUS or status >= 500


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait from a Retry-After header: a number of seconds or an HTTP date; None if absent or neither.

    now: seconds since the epoch. Never negative, at most LONGEST_WAIT_S.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = moment.timestamp() - (time.time() if now is None else now)
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def backoff(first_s: float, draw: Callable[[], float] = random.random) -> Callable[[RetryCallState], float]:
    """A tenacity wait: `first_s`, doubled each time, between half and the whole of it at random.

    If the server asked for a pause, that pause, plus up to a tenth of it and of `first_s` so that not all return at
    the same moment.
    """

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_s if isinstance(error, TransientError) else None
        if asked is not None:
            return float(asked + 0.1 * (asked + first_s) * draw())
        longest = min(first_s * 2.0 ** (state.attempt_number - 1), LONGEST_WAIT_S)
        return longest * (0.5 + 0.5 * draw())

    return wait
