"""The rate limits of a server, kept for all workers of a run. Pure but for its clock.

Three things hold calls back: limits that the config names, allowances that the server's headers state, and refusals
(429, 529, 503 with Retry-After). After a refusal nothing goes out for a pause, then half as many calls at a time, one
more with each round of answers.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from hydra_ray.llm.rate_headers import PERIOD_S, Allowance, Rates
from hydra_ray.llm.retry import LONGEST_PAUSE_S, LONGEST_WAIT_S

MOST_REFUSALS = 9
"""Pauses in a row after which the server is not asked again for a while."""
GIVEN_UP_S = 5.0
"""So long all workers that wait learn of it."""


class Wait(NamedTuple):
    """Why a call waits: for how many seconds, and for which limit, named with where it comes from."""

    seconds: float
    limit: str


class TokenBucket:
    """A bucket that fills up by `rate` a second and never holds more than `capacity`; a draw may leave it in debt."""

    def __init__(self, capacity: float, rate: float, now: float, level: float | None = None) -> None:
        self._capacity, self._rate, self._at = capacity, rate, now
        self._level = capacity if level is None else level

    @classmethod
    def per_minute(cls, most: float, now: float) -> "TokenBucket":
        """At most `most` in any minute: what a second brings may come at once, the rest is spread over the minute."""
        burst = max(1.0, most / PERIOD_S)
        return cls(burst, (most - burst if most >= 2 * burst else most) / PERIOD_S, now)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be drawn; more than the bucket holds is drawn when it is full."""
        self._level = min(self._capacity, self._level + self._rate * (now - self._at))
        self._at = now
        lacking = min(amount, self._capacity) - self._level
        if lacking <= 1e-9:
            return 0.0
        return lacking / self._rate if self._rate > 0 else math.inf

    def draw(self, amount: float) -> None:
        """Takes `amount` out (negative: puts it back)."""
        self._level -= amount


class RateLimits:
    """requests_per_minute, tokens_per_minute: None: no limit but what the server says."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._named: tuple[float | None, float | None] = (None, None)
        self._set: list[tuple[TokenBucket, bool]] = []  # whether it counts tokens
        self._stated: dict[bool, tuple[TokenBucket, float, float]] = {}  # when it was stated, and the limit
        self._pause = ""
        self._paused_until = self._paused_at = -math.inf
        self._refusals = 0
        self._given_up_until = -math.inf
        self._at_once = math.inf
        self.configure(requests_per_minute, tokens_per_minute)

    def configure(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Sets the limits of the config. The same ones again change nothing."""
        if self._named == (requests_per_minute, tokens_per_minute):
            return
        self._named = (requests_per_minute, tokens_per_minute)
        now = self._clock()
        self._set = [(TokenBucket.per_minute(most, now), tokens) for tokens, _, most in self._settings()]

    @property
    def given_up(self) -> bool:
        """Whether the server refused `MOST_REFUSALS` times in a row, a moment ago."""
        return self._clock() < self._given_up_until

    def wait_s(self, tokens: float, in_flight: int) -> float:
        """Seconds before a call of so many tokens may go out; 0: now. in_flight: calls that are out.

        Infinite while only the end of a call in flight can let another one out.
        """
        return math.inf if in_flight >= self._at_once else self.wait(tokens).seconds

    def wait(self, tokens: float) -> Wait:
        """The longest wait before a call of so many tokens may go out, were none in flight; 0 seconds: now."""
        now = self._clock()
        # What a server states is not always what it means: after the longest wait one call finds out.
        self._stated = {counts: one for counts, one in self._stated.items() if now - one[1] < LONGEST_WAIT_S}
        named = {counts: f"llm.{kind}_per_minute={most:g}" for counts, kind, most in self._settings()}
        waits = [Wait(g.wait_s(tokens if counts else 1.0, now), named[counts]) for g, counts in self._set]
        waits += [
            Wait(
                gauge.wait_s(tokens if counts else 1.0, now),
                f"the server's limit of {limit:g} {'tokens' if counts else 'requests'}, as its headers say",
            )
            for counts, (gauge, _, limit) in self._stated.items()
        ]
        return max([Wait(max(0.0, self._paused_until - now), self._pause), *waits], key=lambda wait: wait.seconds)

    def _settings(self) -> list[tuple[bool, str, float]]:
        """The limits of the config: whether it counts tokens, of what, and how many."""
        named = ((False, "requests", self._named[0]), (True, "tokens", self._named[1]))
        return [(counts, kind, most) for counts, kind, most in named if most is not None]

    def draw(self, tokens: float) -> float:
        """A call of so many tokens at most goes out. Returns as how many it counts until it ends (see `settle`): as
        a minute's at most, so that one whose answer is unlimited does not hold the others back for longer."""
        if self._named[1] is not None:
            tokens = min(tokens, self._named[1])
        for gauge, counts in self._gauges():
            gauge.draw(tokens if counts else 1.0)
        return tokens

    def give_back(self, drawn: float) -> None:
        """A call for which `drawn` tokens were taken did not go out."""
        for gauge, counts in self._gauges():
            gauge.draw(-drawn if counts else -1.0)

    def _gauges(self) -> list[tuple[TokenBucket, bool]]:
        return [*self._set, *((gauge, counts) for counts, (gauge, _, _) in self._stated.items())]

    def settle(self, drawn: float, used: float) -> None:
        """A call for which `drawn` tokens were taken has cost `used`; none, if it was not answered."""
        for gauge, counts in self._gauges():
            if counts:
                gauge.draw(used - drawn)

    def answered(self) -> None:
        """A call was answered."""
        self._refusals = 0
        if self._at_once < math.inf:
            self._at_once += 1.0 / self._at_once

    def learn(self, rates: Rates, in_flight: int, in_flight_tokens: float, went_out: float) -> None:
        """What a response reported. in_flight: other calls that are out, with their tokens; went_out: when this one
        did."""
        now = self._clock()
        for allowance, counts in ((rates.requests, False), (rates.tokens, True)):
            if allowance is not None:
                gauge = _stated(allowance, in_flight_tokens if counts else in_flight, now)
                self._stated[counts] = (gauge, now, allowance.limit)
        if rates.pause_s is None:
            return
        if went_out >= self._paused_at:  # else the same refusal again, of a call that was out already
            self._paused_at = now
            self._refusals += 1
            self._at_once = max(1.0, min(self._at_once, in_flight + 1) / 2)
            if self._refusals >= MOST_REFUSALS:
                self._refusals, self._given_up_until = 0, now + GIVEN_UP_S
                return
        backoff = min(rates.backoff_s * 2.0 ** (self._refusals - 1), LONGEST_WAIT_S)
        self._paused_until = max(self._paused_until, now + max(min(rates.pause_s, LONGEST_PAUSE_S), backoff))
        by_header = rates.pause_s >= backoff
        self._pause = f"a pause after the server's refusal{', as its Retry-After says' if by_header else ''}"


def _stated(allowance: Allowance, in_flight: float, now: float) -> TokenBucket:
    """An allowance as a bucket that fills up evenly; what is in flight may not be counted in it yet."""
    capacity = max(allowance.limit, 1.0)
    missing = max(capacity - allowance.left, capacity / PERIOD_S)
    return TokenBucket(capacity, missing / max(allowance.reset_s, 1e-3), now, allowance.left - in_flight)
