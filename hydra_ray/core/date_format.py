"""Dates in a form that the user declares (`data.tabular.date_format`): strptime's, or a number's unit."""

import datetime
import re
from typing import Any

from hydra_ray.core.dates import Ticks, Unit, from_epoch, normalise_date

EPOCHS: dict[str, Unit] = {"epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us", "epoch_ns": "ns"}
_SAMPLE = datetime.datetime(2024, 1, 13, 16, 5, 6, tzinfo=datetime.UTC)
_YEAR = frozenset("YyGcxs")
_PARTS = (
    (frozenset("f"), 26),
    (frozenset("STXcs"), 19),
    (frozenset("MR"), 16),
    (frozenset("HI"), 13),
    (frozenset("djxaAuwDF"), 10),
    (frozenset("mbBh"), 7),
)
"""Directives, finest first, and how much of `2024-01-13T16:05:06.000000` a format that has one of them decides."""


def check_format(declared: str) -> str:
    """The format, if dates can be read with it. Raises ValueError that says what is wrong."""
    if declared in EPOCHS:
        return declared
    known = f"give one of strptime, e.g. %d/%m/%Y, or {', '.join(EPOCHS)}"
    try:
        datetime.datetime.strptime(_SAMPLE.strftime(declared), declared)
    except (ValueError, re.error) as error:
        raise ValueError(f"{declared!r} is no date format ({error}): {known}") from None
    if not _directives(declared) & _YEAR:
        raise ValueError(f"{declared!r} has no year: {known}")
    return declared


def _directives(declared: str) -> set[str]:
    return set(re.findall(r"%-?([A-Za-z])", declared.replace("%%", "")))


class DateReader:
    """Reads the dates of one column: as declared, or every form that needs no declaration (see `normalise_date`)."""

    def __init__(self, declared: str | None = None) -> None:
        self._declared = declared
        found = _directives(declared) if declared else set()
        self._length = next((length for some, length in _PARTS if some & found), 4)

    def __call__(self, raw: Any) -> str | None:
        """As `normalise_date`. Typed dates need no format; text of another form than the declared one is not read."""
        if self._declared is None or raw is None or isinstance(raw, Ticks | datetime.date):
            return normalise_date(raw)
        if raw != raw or (isinstance(raw, str) and not raw.strip()):
            return ""
        if isinstance(raw, bool):
            return None
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        text = str(raw).strip()
        if self._declared in EPOCHS:
            return _epoch(text, EPOCHS[self._declared])
        try:
            at = datetime.datetime.strptime(text, self._declared)
            if at.tzinfo is not None:
                at = at.astimezone(datetime.UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return None
        whole = at.isoformat(timespec="microseconds")
        return whole[: 16 if self._length == 13 else self._length]


def _epoch(text: str, unit: Unit) -> str | None:
    whole, _, fraction = text.partition(".")
    try:
        count = int(whole)
    except ValueError:
        return None
    if fraction and unit == "s" and fraction.isdigit():
        part = int(fraction[:6].ljust(6, "0"))
        return from_epoch(count * 10**6 + (-part if text.startswith("-") else part), "us")
    return from_epoch(count, unit) if not fraction or not fraction.strip("0") else None
