"""What a response says of the server's rate limits. Header names are those of OpenAI, Anthropic, Groq and the like."""

from collections.abc import Mapping
from typing import NamedTuple

from hydra_ray.llm.durations import seconds_of, seconds_until

PERIOD_S = 60.0
"""Of a limit whose headers say no more of when it resets."""


class Allowance(NamedTuple):
    """left: requests or tokens that may still be used. reset_s: when `limit` of them are there again."""

    left: float
    limit: float
    reset_s: float


class Rates(NamedTuple):
    """requests, tokens: None where the response says nothing.

    pause_s: how long it answers nothing at all; None: it does answer. backoff_s: the shortest first pause, doubled
    with every further refusal.
    """

    requests: Allowance | None = None
    tokens: Allowance | None = None
    pause_s: float | None = None
    backoff_s: float = 0.0


_REQUESTS = (
    "x-ratelimit-{}-requests",
    "x-ratelimit-{}-requests-minute",
    "anthropic-ratelimit-requests-{}",
    "x-ratelimit-{}",
    "ratelimit-{}",
)
_TOKENS = (
    "x-ratelimit-{}-tokens",
    "x-ratelimit-{}-tokens-minute",
    "anthropic-ratelimit-tokens-{}",
    "anthropic-ratelimit-input-tokens-{}",
)


def read_rates(headers: Mapping[str, str], now: float) -> Rates | None:
    """The allowances in a response's headers, None if there are none. now: seconds since the epoch."""
    lower = {name.lower(): value for name, value in headers.items() if "ratelimit" in name.lower()}
    if not lower:
        return None
    rates = Rates(_allowance(lower, _REQUESTS, now), _allowance(lower, _TOKENS, now))
    return rates if rates.requests or rates.tokens else None


def _allowance(headers: Mapping[str, str], forms: tuple[str, ...], now: float) -> Allowance | None:
    for form in forms:
        left = seconds_of(headers.get(form.format("remaining"), ""))
        if left is None or left < 0:
            continue
        limit = seconds_of(headers.get(form.format("limit"), ""))
        if left <= 0 and not limit:
            continue  # of nothing, nothing is left: no statement
        reset = seconds_until(headers.get(form.format("reset"), ""), now)
        return Allowance(left, max(left, limit or 0.0), PERIOD_S if reset is None else reset)
    return None
