import email.utils

import pytest

from hydra_ray.llm.durations import seconds_in_words, seconds_of, seconds_until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20", 20.0), ("0.5", 0.5), ("120ms", 0.12), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("1 minute 30 seconds", 90.0),
     ("2 minutes", 120.0), ("1s", 1.0), ("1d", 86400.0), ("soon", None), ("", None), ("nan", None), ("3 apples", None)],
)  # fmt: skip
def test_spans(text, seconds):
    assert seconds_of(text) == seconds


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        ("-3", 0.0),
        ("1700000007", 7.0),
        ("1700000007000", 7.0),
        ("1600000000", 0.0),
        ("2023-11-14T22:13:30Z", 10.0),
        ("2023-11-14T22:13:30+00:00", 10.0),
        (email.utils.formatdate(NOW + 9, usegmt=True), 9.0),
        ("tomorrow", None),
    ],
)
def test_moments(text, seconds):
    assert seconds_until(text, NOW) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached for m on requests per min (RPM): Limit 3, Used 3. Please try again in 20s. Visit x", 20.0),
        ("Please try again in 6m0s.", 360.0),
        ("please try again in 120ms", 0.12),
        ("Please retry in 27.4s.", 27.4),
        ("Please retry after 59 seconds.", 59.0),
        ("please wait 2 minutes before trying again", 120.0),
        ("try again later", None),
        ("limit 3 per 20s", None),
    ],
)
def test_pauses_in_words(words, seconds):
    assert seconds_in_words(words) == seconds
