"""Forms of dates that the data's owner declares."""

import datetime

import pytest

from hydra_ray.core.date_format import DateReader, check_format
from hydra_ray.core.dates import Ticks


@pytest.mark.parametrize(
    ("declared", "raw", "canonical"),
    [
        ("%d/%m/%Y", "13/01/2024", "2024-01-13"),
        ("%d/%m/%Y", " 3/1/2024 ", "2024-01-03"),
        ("%d/%m/%Y", "2024-01-13", None),
        ("%d/%m/%Y", "", ""),
        ("%d/%m/%Y", None, ""),
        ("%d/%m/%Y", Ticks(18695, "D"), "2021-03-09"),
        ("%d/%m/%Y", datetime.date(2021, 3, 9), "2021-03-09"),
        ("%m/%Y", "01/2024", "2024-01"),
        ("%y", "24", "2024"),
        ("%Y%m%d%H", 2024011316, "2024-01-13T16:00"),
        ("%d.%m.%Y %H:%M", "13.01.2024 16:05", "2024-01-13T16:05"),
        ("%d.%m.%Y %H:%M:%S", "13.01.2024 16:05:06", "2024-01-13T16:05:06"),
        ("%d.%m.%Y %I:%M %p", "13.01.2024 04:05 PM", "2024-01-13T16:05"),
        ("%d.%m.%Y %H:%M:%S.%f", "13.01.2024 16:05:06.5", "2024-01-13T16:05:06.500000"),
        ("%d.%m.%Y %H:%M %z", "13.01.2024 00:05 +0100", "2024-01-12T23:05"),
        ("epoch_s", 86400, "1970-01-02T00:00:00"),
        ("epoch_s", "1.5", "1970-01-01T00:00:01.500000"),
        ("epoch_ms", -1, "1969-12-31T23:59:59.999"),
        ("epoch_ms", 5.0, "1970-01-01T00:00:00.005"),
        ("epoch_us", 5, "1970-01-01T00:00:00.000005"),
        ("epoch_ns", 5, "1970-01-01T00:00:00.000000005"),
        ("epoch_s", "soon", None),
        ("epoch_s", True, None),
    ],
)
def test_a_declared_form(declared: str, raw: object, canonical: str | None) -> None:
    assert DateReader(check_format(declared))(raw) == canonical


@pytest.mark.parametrize(
    ("declared", "why"),
    [("%d/%m", "'%d/%m' has no year: give"), ("%Q %Y", "'%Q %Y' is no date format ("), ("dd/mm", "has no year")],
)
def test_what_is_no_form(declared: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_format(declared)
    assert why in str(caught.value)
