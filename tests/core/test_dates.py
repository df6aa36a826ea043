import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.date_format import DateReader
from hydra_ray.core.dates import Ticks, is_older, is_since, normalise_date

CET = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("2006-08-05", "2006-08-05"),
        ("2006-08", "2006-08"),
        ("2006", "2006"),
        (2006, "2006"),
        (" 2006-8-5 ", "2006-08-05"),
        ("2006/08/05", "2006-08-05"),
        ("20060805", "2006-08-05"),
        (20060805, "2006-08-05"),
        ("20060805T101112Z", "2006-08-05T10:11:12"),
        ("20060805101112", "2006-08-05T10:11:12"),
        ("2006-08-05T10:11:12Z", "2006-08-05T10:11:12"),
        ("2006-08-05 10:11:12", "2006-08-05T10:11:12"),
        ("2006-08-05 10:11:12 UTC", "2006-08-05T10:11:12"),
        ("2006-08-05T10:11", "2006-08-05T10:11"),
        ("2006-08-05T10:11:12.5Z", "2006-08-05T10:11:12.500"),
        ("2006-08-05T10:11:12,1234", "2006-08-05T10:11:12.123400"),
        ("2006-08-05T10:11:12.1234567891", "2006-08-05T10:11:12.123456789"),
        ("2021-03-09T23:30:00-08:00", "2021-03-10T07:30:00"),
        ("2021-03-10T01:00:00+0900", "2021-03-09T16:00:00"),
        ("2021-03-10 01:00+09", "2021-03-09T16:00"),
        ("2021-03-10T01:00:00+05:45", "2021-03-09T19:15:00"),
        ("2021-03-10T01:00+01:00[Europe/Berlin]", "2021-03-10T00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59"),
        ("Tue, 09 Mar 2021 16:00:00 +0100", "2021-03-09T15:00:00"),
        ("9 Mar 2021 16:00 EST", "2021-03-09T21:00"),
        ("Tue, 9 Mar 2021 16:00:00 GMT (UTC)", "2021-03-09T16:00:00"),
        ("Wed Oct 10 20:19:24 +0000 2018", "2018-10-10T20:19:24"),
        ("Wed Oct 10 20:19:24 2018", "2018-10-10T20:19:24"),
        (1615305600, "2021-03-09T16:00:00"),
        ("1615305600", "2021-03-09T16:00:00"),
        (1615305600.25, "2021-03-09T16:00:00.250000"),
        ("1615305600.25", "2021-03-09T16:00:00.250000"),
        (1615305600123, "2021-03-09T16:00:00.123"),
        (1615305600123.0, "2021-03-09T16:00:00.123"),
        (1615305600123456, "2021-03-09T16:00:00.123456"),
        (1615305600123456789, "2021-03-09T16:00:00.123456789"),
        (Decimal("1615305600"), "2021-03-09T16:00:00"),
        (Decimal("1615305600.5"), "2021-03-09T16:00:00.500000"),
        (Ticks(18695, "D"), "2021-03-09"),
        (Ticks(-1, "D"), "1969-12-31"),
        (Ticks(-1, "ms"), "1969-12-31T23:59:59.999"),
        (Ticks(1615305600, "s"), "2021-03-09T16:00:00"),
        (Ticks(1615305600123456789, "ns"), "2021-03-09T16:00:00.123456789"),
        (datetime.date(2006, 8, 5), "2006-08-05"),
        (datetime.datetime(2006, 8, 5, 10), "2006-08-05T10:00:00"),
        (datetime.datetime(2006, 8, 5, 0, 30, 0, 7, tzinfo=CET), "2006-08-04T23:30:00.000007"),
        (2006.0, "2006"),
        ("0800-01-01T01:00:00Z", "0800-01-01T01:00:00"),
        (None, ""),
        (float("nan"), ""),
        (Decimal("NaN"), ""),
        ("", ""),
        ("  ", ""),
    ],
)
def test_every_form_becomes_canonical(raw: object, canonical: str) -> None:
    assert normalise_date(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [202405171011, "202405171011", "190001010000", "210012312359", "2024051710", 2024051710.0, "2024051710.0"],
)
def test_a_compact_date_without_seconds_may_be_a_time_since_1970_and_must_be_declared(raw: Any) -> None:
    assert normalise_date(raw) is None


def test_compact_dates_without_seconds_are_read_as_declared() -> None:
    assert DateReader("%Y%m%d%H%M")(202405171011) == "2024-05-17T10:11"
    assert DateReader("%Y%m%d%H")("2024051710") == "2024-05-17T10:00"
    assert DateReader("epoch_s")(2024051710) == "2034-02-20T12:35:10"


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (1999123123, "2033-05-07T23:58:43"),
        (2024051710.5, "2034-02-20T12:35:10.500000"),
        (2024131710, "2034-02-21T10:48:30"),
        (100000000000, "1973-03-03T09:46:40.000"),
        (202413171011, "1976-05-31T17:52:51.011"),
        (202405172511, "1976-05-31T15:39:32.511"),
        (999999999999, "2001-09-09T01:46:39.999"),
    ],
)
def test_other_times_since_1970_of_so_many_digits_need_no_declaration(raw: Any, canonical: str) -> None:
    assert normalise_date(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        "yesterday",
        "2006-13-01",
        "2006-02-30",
        "06-08-2006",
        "13/01/2024",
        "2006-08-05T25:00",
        "2006-08-05T10:11:61",
        "2006-08-05T10:11+17:00",
        "2006-08-05T10:11:12 CET",
        "0000-00-00",
        "0001-01-01T00:00+01:00",
        "9 Mar 2021 16:00 CET",
        "9 Mrz 2021 16:00 GMT",
        99999999,
        12345,
        12345678901,
        -1615305600,
        True,
        2006.5,
        ["2006"],
        float("inf"),
        Ticks(3_000_000, "D"),
        Ticks(10**18, "s"),
        datetime.datetime(1, 1, 1, tzinfo=CET),
    ],
)
def test_what_cannot_be_read_is_none(raw: object) -> None:
    assert normalise_date(raw) is None


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("2021-03-09", "2021-03-10", True),
        ("2021-03-09", "2021-03-09", False),
        ("2021-03-09", "2021-03-09T16:00", False),
        ("2021-03-09T16:00", "2021-03-09", False),
        ("2021-03", "2021-03-09", False),
        ("2021-02", "2021-03-09", True),
        ("2020", "2021", True),
        ("2021-03-09T16:00:00", "2021-03-09T16:00:00.500", False),
        ("2021-03-09T15:59:59.999999", "2021-03-09T16:00:00", True),
        ("", "2021", False),
        ("2021", "", False),
    ],
)
def test_older_is_over_before_the_other_begins(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) == older


@pytest.mark.parametrize(
    ("one", "other", "since"),
    [
        ("2020-03", "2020-03-01", True),
        ("2020-03", "2020-03-02", False),
        ("2020", "2020-01-01T00:00:00.000", True),
        ("2020-02", "2020-03", False),
        ("2020-03-01T00:00", "2020-03", True),
        ("2020-03-01T10:11:12.5", "2020-03-01T10:11:12.500000", True),
        ("2020-03-01T10:11:12", "2020-03-01T10:11:12.001", False),
        ("", "2020", False),
    ],
)
def test_a_period_is_since_what_its_first_moment_is_since(one: str, other: str, since: bool) -> None:
    assert is_since(one, other) == since


MOMENTS = st.datetimes(datetime.datetime(1975, 1, 1), datetime.datetime(2100, 1, 1)).map(
    lambda at: at.replace(tzinfo=datetime.UTC)
)
ZONES = st.integers(-840, 840).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))


def _microseconds(at: datetime.datetime) -> int:
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)


FORMS: list[Any] = [
    lambda at, zone: at.astimezone(zone).isoformat(),
    lambda at, zone: at.astimezone(zone).strftime("%a, %d %b %Y %H:%M:%S %z"),
    lambda at, zone: at.astimezone(datetime.UTC).strftime("%Y-%m-%d"),
    lambda at, zone: at.astimezone(datetime.UTC).strftime("%Y-%m"),
    lambda at, zone: at.strftime("%Y"),
    lambda at, zone: _microseconds(at) // 10**6,
    lambda at, zone: str(_microseconds(at) // 10**3),
    lambda at, zone: _microseconds(at),
    lambda at, zone: _microseconds(at) * 1000,
    lambda at, zone: Ticks(_microseconds(at), "us"),
    lambda at, zone: at.astimezone(zone),
]


@given(MOMENTS, MOMENTS, ZONES, ZONES, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_no_form_makes_a_later_moment_older(
    one: datetime.datetime, other: datetime.datetime, zone: Any, other_zone: Any, form: Any, other_form: Any
) -> None:
    first, second = normalise_date(form(one, zone)), normalise_date(other_form(other, other_zone))
    assert first
    assert second
    if is_older(first, second):
        assert one < other
    if one < other and other - one > datetime.timedelta(days=732):
        assert is_older(first, second)
