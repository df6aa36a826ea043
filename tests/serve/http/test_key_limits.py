"""Limits of a key by minute, and what is counted: alone, and shared by gateways through the state folder."""

from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.state.usage_file import Used
from tests.serve.http.limited_keys import CI, FREE, NOON, Clock, refused


def test_requests_a_minute() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    left = [limits.admit(CI)["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    problem = refused(limits)
    assert str(problem) == "this key's limit of 3 requests a minute is reached"
    assert problem.headers["Retry-After"] == "50"
    assert problem.headers["x-ratelimit-limit-requests"] == "3"
    clock.now = NOON + 60
    assert limits.admit(CI)["x-ratelimit-remaining-requests"] == "2"


def test_tokens_a_minute_are_counted_after_the_answer() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    limits.admit(CI)
    limits.spent(CI, 99)
    assert limits.admit(CI)["x-ratelimit-remaining-tokens"] == "1"
    limits.spent(CI, 50)
    assert str(refused(limits)) == "this key's limit of 100 tokens a minute is reached"
    clock.now += 60
    limits.admit(CI)


def test_a_key_without_limits() -> None:
    limits = KeyLimits(clock=Clock())
    for _ in range(1000):
        assert limits.admit(FREE) == {}
        limits.spent(FREE, 10**9)


def test_what_was_used_by_day_and_key() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    for _ in range(3):
        limits.admit(CI)
    refused(limits)
    limits.spent(CI, 7)
    clock.now += 86400
    limits.admit(FREE)
    found = {(slot.day, slot.name): used for slot, used in limits.days("acme", "2027-06-30")}
    assert found == {("2027-06-30", "ci"): Used(3, 1, 7), ("2027-07-01", ""): Used(1, 0, 0)}
    assert [slot.day for slot, _ in limits.days("acme", "2027-07-01")] == ["2027-07-01"]
    assert limits.days("other", "2027-01-01") == []
