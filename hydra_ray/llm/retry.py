"""When a failed call is tried again, and how long to wait before."""

import random
from collections.abc import Callable

from tenacity import RetryCallState

from hydra_ray.errors import UserError
from hydra_ray.llm.rate_headers import Rates

LONGEST_WAIT_S = 60.0
"""The longest pause that nobody asked for."""
LONGEST_PAUSE_S = 900.0
"""A server that asks for a longer pause ends the run, which goes on when it is called again."""
RETRIED_STATUS = frozenset({408, 409, 425, 429})
LIMITED_STATUS = frozenset({429, 529})

MOST_PATIENCE = 4
"""Times `llm.timeout_s` that an attempt may take whose predecessors took too long: each waits twice as long as the one
before. A slow server with a long queue would otherwise begin every answer anew and finish none."""


class TransientError(Exception):
    """A failure that may pass.

    message: one line, without secrets. status: the HTTP status, None if there was none. retry_after_s: what the server
    asked for. maybe_billed: the server may have done the work (a timeout, a broken connection, an unreadable answer).
    timed_out: no answer came in the time allowed. unreachable: no connection could be made at all. rates: the
    response's headers about rate limits.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        maybe_billed: bool = False,
        timed_out: bool = False,
        unreachable: bool = False,
        rates: Rates | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.maybe_billed = maybe_billed
        self.timed_out = timed_out
        self.unreachable = unreachable
        self.rates = rates

    @property
    def limited(self) -> bool:
        """Whether the server only asks us to be slower: it would answer this request at another moment."""
        return self.status in LIMITED_STATUS or (self.status == 503 and self.retry_after_s is not None)


class EmptyAnswerError(TransientError):
    """The answer holds no choices."""

    def __init__(self) -> None:
        super().__init__("the answer holds no choices", maybe_billed=True)


class RejectedError(Exception):
    """The server will never answer this request (malformed, flagged): it is recorded as missing.

    suspicion: what it means if the server refuses every request so; None: it cannot.
    """

    def __init__(self, message: str, suspicion: str | None = None) -> None:
        super().__init__(message)
        self.suspicion = suspicion


class SuspectError(UserError):
    """A rejection that may well concern every request: nothing was answered before, or many were refused in a row."""

    def __init__(self, rejection: RejectedError) -> None:
        super().__init__(rejection.suspicion)
        self.rejection = rejection

    def __reduce__(self) -> tuple[type["SuspectError"], tuple[RejectedError]]:
        return type(self), (self.rejection,)


class TooLongError(RejectedError):
    """The prompt does not fit the model; a shorter one may."""


def is_transient(status: int) -> bool:
    """Whether an HTTP status is worth another attempt."""
    return status in RETRIED_STATUS or status >= 500


def pause_before(attempt: int, first_s: float, asked_s: float | None, share: float) -> float:
    """Seconds before attempt number `attempt` + 1: `first_s`, doubled each time, between half and the whole of it.

    If the server asked for a pause (`asked_s`), that pause, plus up to a tenth of it and of `first_s` so that not all
    return at the same moment. share: 0 to 1, drawn at random.
    """
    if asked_s is not None:
        return asked_s + 0.1 * (asked_s + first_s) * share
    return min(first_s * 2.0 ** (attempt - 1), LONGEST_WAIT_S) * (0.5 + 0.5 * share)


def backoff(first_s: float, draw: Callable[[], float] = random.random) -> Callable[[RetryCallState], float]:
    """`pause_before` as a wait of tenacity's."""

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        retry_after_s = error.retry_after_s if isinstance(error, TransientError) else None
        return pause_before(state.attempt_number, first_s, retry_after_s, draw())

    return wait
