"""Dates of records: every form that occurs, brought to ISO `YYYY-MM-DD`."""

import datetime
import re
from typing import Any

_DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?(?:[T ]\d{1,2}:.*)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")


def normalise_date(raw: Any) -> str | None:
    """ISO `YYYY-MM-DD`; "" if there is no date (None, ""); None if there is one that cannot be read.

    `2006-08` becomes `2006-08-01`, `2006` (text or number) `2006-01-01`; a time of day is dropped; `/` may stand for
    `-`, and `20060801` is read as well. Date and time objects (from Parquet) are taken as they are.
    """
    if raw is None or raw != raw:  # a table's not-a-number
        return ""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, datetime.datetime | datetime.date):
        return raw.isoformat()[:10]
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return None
    text = str(raw).strip()
    if not text:
        return ""
    match = _DATE.fullmatch(text) or _COMPACT.fullmatch(text)
    if match is None:
        return None
    year, month, day = (int(part) if part else 1 for part in match.groups())
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return None
