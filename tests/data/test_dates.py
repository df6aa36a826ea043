import datetime

import pytest

from hydra_ray.data.dates import normalise_date


@pytest.mark.parametrize(
    ("raw", "iso"),
    [
        ("2006-08-05", "2006-08-05"),
        ("2006-08", "2006-08-01"),
        ("2006", "2006-01-01"),
        (2006, "2006-01-01"),
        (" 2006-8-5 ", "2006-08-05"),
        ("2006/08/05", "2006-08-05"),
        ("20060805", "2006-08-05"),
        ("2006-08-05T10:11:12Z", "2006-08-05"),
        ("2006-08-05 10:11:12", "2006-08-05"),
        (datetime.date(2006, 8, 5), "2006-08-05"),
        (datetime.datetime(2006, 8, 5, 10), "2006-08-05"),
        (2006.0, "2006-01-01"),
        (None, ""),
        (float("nan"), ""),
        ("", ""),
        ("  ", ""),
    ],
)
def test_every_form_becomes_iso(raw: object, iso: str) -> None:
    assert normalise_date(raw) == iso


@pytest.mark.parametrize(
    "raw", ["yesterday", "2006-13-01", "2006-02-30", "06-08-2006", 1252800000, True, 2006.5, ["2006"]]
)
def test_what_cannot_be_read_is_none(raw: object) -> None:
    assert normalise_date(raw) is None
