"""Spans and moments as servers write them: `20`, `120ms`, `6m0s`, `1 minute 30 seconds`, HTTP dates, epochs."""

import email.utils
import math
import re
from datetime import UTC, datetime

EPOCH_S = 1e9
"""A plain number from here on is a moment, not a span."""

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = r"\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_ONE = re.compile(r"(\d+(?:\.\d+)?)\s*(milli|ms|s|m|h|d)", re.IGNORECASE)
_WHOLE = re.compile(rf"(?:{_PART.replace('(?![a-z])', '')}[\s,]*(?:and\s+)?)+", re.IGNORECASE)
_IN_WORDS = re.compile(
    rf"\b(?:again|retry|wait|available|resets?)\b[^.;0-9]{{0,30}}?((?:{_PART}[\s,]*(?:and\s+)?|\d+h(?=\d)|\d+m(?=\d))+)",
    re.IGNORECASE,
)


def seconds_of(text: str) -> float | None:
    """Seconds that a text of one or more spans adds up to; a plain number is seconds. None: it is no span."""
    text = text.strip()
    try:
        plain = float(text)
    except ValueError:
        if not _WHOLE.fullmatch(text):
            return None
        parts = ((float(number), unit.lower()) for number, unit in _ONE.findall(text))
        return math.fsum(number * _UNITS["ms" if unit == "milli" else unit] for number, unit in parts)
    return plain if math.isfinite(plain) else None


def seconds_until(text: str, now: float) -> float | None:
    """Seconds from `now` (since the epoch) until what a header says: a span, an epoch (s or ms), an ISO or HTTP date.

    Never negative; None: it is none of them.
    """
    seconds = seconds_of(text)
    if seconds is None:
        moment = _date(text.strip())
        return None if moment is None else max(0.0, moment - now)
    if seconds >= EPOCH_S:
        seconds = (seconds / 1000 if seconds >= EPOCH_S * 1000 else seconds) - now
    return max(0.0, seconds)


def seconds_in_words(message: str) -> float | None:
    """The pause that an error message asks for ("Please try again in 1m30s"), None if it names none."""
    found = _IN_WORDS.search(message)
    return seconds_of(found[1].rstrip(" ,and\n")) if found else None


def _date(text: str) -> float | None:
    """Seconds since the epoch of an ISO or HTTP date; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
