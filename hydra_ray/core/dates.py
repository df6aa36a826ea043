"""Dates of items: every form that occurs, brought to one that sorts as text in the order of time.

The canonical form is ISO 8601 in UTC without a zone, cut where the input ends: `2006`, `2006-08`, `2006-08-05`,
`2006-08-05T10:11`, `2006-08-05T10:11:12`, then `.` and 3, 6 or 9 digits. It stands for the whole period that it names,
and a period that holds another is a prefix of it: `is_older` needs nothing else. Times without a zone are taken as UTC.
"""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Unit = Literal["D", "s", "ms", "us", "ns"]
_DIGITS: dict[Unit, int] = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_EPOCH = datetime.datetime(1970, 1, 1)

_FIRST = "0000-01-01T00:00:00.000000000"
"""What of it a cut canonical form lacks, completes that to the first moment of the period."""

_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
_ZONE = r"(?:\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)(?:\[[\w/+-]+\])?)?"
_DATE = re.compile(rf"(\d{{4}})(?:[-/](\d{{1,2}})(?:[-/](\d{{1,2}})(?:[T ]\s*{_TIME}{_ZONE})?)?)?", re.ASCII)
_COMPACT = re.compile(
    rf"(\d{{4}})(\d{{2}})(\d{{2}})(?:[T ]?(\d{{2}})(\d{{2}})(\d{{2}})(?:[.,](\d+))?{_ZONE})?", re.ASCII
)
_HOURS = re.compile(r"(20\d{2}|2100)(\d{2})(\d{2})(\d{2})", re.ASCII)
_MINUTES = re.compile(r"(19\d{2}|20\d{2}|2100)(\d{2})(\d{2})(\d{2})(\d{2})", re.ASCII)
"""Compact forms that may as well be seconds (from 2033 on) or milliseconds (of 1976)."""
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)
_UNITS: dict[int, Unit] = {
    **dict.fromkeys((9, 10), "s"), **dict.fromkeys((12, 13), "ms"),
    **dict.fromkeys((15, 16), "us"), **dict.fromkeys((18, 19), "ns"),
}  # fmt: skip
"""Digits of a number -> its unit, for moments from 1973 to 2286: the units cannot be mistaken for one another."""

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}))?"
_MAIL = re.compile(
    rf"(?:{_DAY}[a-z]*,\s*)?(\d{{1,2}})[ -]([A-Za-z]{{3}})[ -](\d{{4}})\s+{_CLOCK}\s*([+-]\d{{4}}|[A-Za-z]{{1,3}})"
    r"(?:\s*\([^()]*\))?",
    re.ASCII,
)
_CTIME = re.compile(
    rf"{_DAY}\s+([A-Za-z]{{3}})\s+(\d{{1,2}})\s+{_CLOCK}\s+(?:([+-]\d{{4}}|[A-Z]{{1,3}})\s+)?(\d{{4}})", re.ASCII
)
_ZONES = {"z": 0, "ut": 0, "utc": 0, "gmt": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
          "pst": -8, "pdt": -7}  # fmt: skip
"""The zones that RFC 2822 names, in hours; others have no agreed meaning and are not read."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """A typed date of a table: so many `unit`s since 1970 (UTC)."""

    count: int
    unit: Unit

    def __str__(self) -> str:
        return (
            from_epoch(self.count, self.unit) or f"{self.count} {self.unit} since 1970, outside of the years 1 to 9999"
        )


def is_older(one: str, other: str) -> bool:
    """Whether `one` is over before `other` begins; both in the canonical form, "" (unknown) is never older.

    A day is not older than a moment of that day: which came first is unknown.
    """
    return bool(one) and one < other and not other.startswith(one)


def is_since(one: str, other: str) -> bool:
    """Whether `one` begins with `other` or after it; both in the canonical form, "" (unknown) never does.

    A month begins with its first moment: `2020-03` is since `2020-03-01`, but not since the 2nd.
    """
    return bool(one) and one + _FIRST[len(one) :] >= other + _FIRST[len(other) :]


def normalise_date(raw: Any) -> str | None:
    """The canonical form; "" if there is no date (None, ""); None if there is one that cannot be read.

    Read are: ISO 8601 (`/` may stand for `-`, compact forms too, with or without time and offset), a year or a month
    alone, RFC 2822, seconds, milliseconds, microseconds and nanoseconds since 1970 from 1973 to 2286 (number or text),
    and typed dates. Forms that need to be declared (`13/01/2024`, `2024051710` and `202405171011`, which may be times
    since 1970) are for `date_format.DateReader`.
    """
    if raw is None or raw != raw:  # a table's not-a-number
        return ""
    if isinstance(raw, Ticks):
        return from_epoch(raw.count, raw.unit)
    if isinstance(raw, datetime.datetime):
        return from_datetime(raw)
    if isinstance(raw, datetime.date):
        return raw.isoformat()
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        return None
    text = raw.strip() if isinstance(raw, str) else _plain(raw)
    return _from_text(text) if text else ""


def from_datetime(at: datetime.datetime) -> str | None:
    """The canonical form of a datetime, in UTC; to the second, or the microsecond where there are some."""
    try:
        utc = at if at.tzinfo is None else at.astimezone(datetime.UTC)
    except OverflowError:
        return None
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds" if utc.microsecond else "seconds")


def from_epoch(count: int, unit: Unit) -> str | None:
    """The canonical form of `count` units since 1970, None outside of the years 1 to 9999."""
    try:
        if unit == "D":
            return (_EPOCH + datetime.timedelta(days=count)).date().isoformat()
        digits = _DIGITS[unit]
        seconds, rest = divmod(count, 10**digits)
        at = _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return None
    return at.isoformat(timespec="seconds") + (f".{rest:0{digits}d}" if digits else "")


def _plain(number: float | Decimal) -> str:
    """A number as digits, without exponent; "." and what follows only where it is no whole number."""
    if -(10**20) < number < 10**20 and number == int(number):
        return str(int(number))
    return format(number, "f") if isinstance(number, Decimal) else f"{number:.6f}"


def _from_text(text: str) -> str | None:
    if match := _DATE.fullmatch(text):
        return _assembled(*match.groups())
    if match := _COMPACT.fullmatch(text):
        return _assembled(*match.groups())
    if match := _NUMBER.fullmatch(text):
        return _from_number(*match.groups())
    if match := _MAIL.fullmatch(text):
        day, month, year, hour, minute, second, zone = match.groups()
        return _named_month(year, month, day, hour, minute, second, zone)
    if match := _CTIME.fullmatch(text):
        month, day, hour, minute, second, zone, year = match.groups()
        return _named_month(year, month, day, hour, minute, second, zone or "Z")
    return None


def _from_number(whole: str, fraction: str | None) -> str | None:
    unit = _UNITS.get(len(whole))
    if unit is None or (not (fraction or "").strip("0") and _may_be_compact(whole)):
        return None
    if not fraction or unit == "ns":
        return from_epoch(int(whole), unit)
    finer: Unit = {"s": "us", "ms": "us", "us": "ns"}[unit]  # type: ignore[assignment]
    more = _DIGITS[finer] - _DIGITS[unit]
    return from_epoch(int(whole + fraction[:more].ljust(more, "0")), finer)


def _may_be_compact(digits: str) -> bool:
    match = _HOURS.fullmatch(digits) or _MINUTES.fullmatch(digits)
    return match is not None and _assembled(*match.groups()) is not None


def _named_month(year: str, month: str, day: str, hour: str, minute: str, second: str | None, zone: str) -> str | None:
    number = _MONTHS.get(month.lower())
    if zone[0] not in "+-":
        if zone.lower() not in _ZONES:
            return None
        zone = f"{_ZONES[zone.lower()]:+03d}00"
    return _assembled(year, str(number), day, hour, minute, second, None, zone) if number else None


def _assembled(
    year: str,
    month: str | None,
    day: str | None,
    hour: str | None = None,
    minute: str | None = None,
    second: str | None = None,
    fraction: str | None = None,
    zone: str | None = None,
) -> str | None:
    """The canonical form of parts as they were written, None if there is no such date."""
    try:
        date = datetime.datetime(int(year), int(month or 1), int(day or 1))
        if hour is None:
            return date.date().isoformat()[: 10 if day else 7 if month else 4]
        # A leap second counts as the one before it.
        at = date.replace(hour=int(hour), minute=int(minute or 0), second=min(int(second or 0), 59))
        if int(second or 0) > 60:
            return None
        at -= datetime.timedelta(minutes=_offset(zone))
    except (ValueError, OverflowError):
        return None
    if second is None:
        return at.isoformat(timespec="minutes")
    if not fraction:
        return at.isoformat(timespec="seconds")
    width = min(9, -(-len(fraction) // 3) * 3)
    return f"{at.isoformat(timespec='seconds')}.{fraction[:width].ljust(width, '0')}"


def _offset(zone: str | None) -> int:
    """Minutes east of UTC. Raises ValueError for an offset that no clock has."""
    if zone is None or zone[0] not in "+-":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise ValueError(zone)
    return (1 if zone[0] == "+" else -1) * (60 * hours + minutes)
