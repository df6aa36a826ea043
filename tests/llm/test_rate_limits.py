import math
from bisect import bisect_left

import pytest

from hydra_ray.llm.rate_headers import Allowance, Rates
from hydra_ray.llm.rate_limits import GIVEN_UP_S, MOST_REFUSALS, RateLimits, TokenBucket
from hydra_ray.llm.retry import LONGEST_PAUSE_S, LONGEST_WAIT_S


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("most", [1, 3, 60, 5000])
def test_never_more_calls_than_the_limit_in_any_minute(most):
    """All that may go out goes out as early as it may."""
    clock = Clock()
    limits = RateLimits(requests_per_minute=most, clock=clock)
    times = []
    while len(times) < 3 * most + 2:
        clock.now += limits.wait_s(0.0, 0) + 1e-9
        limits.draw(0.0)
        times.append(clock.now)
    for i, first in enumerate(times):
        assert bisect_left(times, first + 60 - 1e-6) - i <= most
    assert times[-1] - times[0] <= 60 * len(times) / most * (1.5 if most > 2 else 1.1)


def test_a_limit_of_tokens_lets_out_a_call_that_is_larger_and_pays_for_it():
    clock = Clock()
    limits = RateLimits(tokens_per_minute=600, clock=clock)
    assert limits.wait_s(500.0, 0) == 0
    limits.draw(500.0)
    assert limits.wait_s(10.0, 0) == pytest.approx(500 / (590 / 60), abs=1.0)
    limits.settle(500.0, 10.0)  # it took far less than feared
    assert limits.wait_s(10.0, 0) == pytest.approx(10 / (590 / 60), abs=0.1)


def test_a_call_above_the_limit_counts_as_a_minutes_tokens_until_it_is_known_what_it_took():
    limits = RateLimits(tokens_per_minute=600, clock=Clock())
    drawn = limits.draw(1e9)
    assert drawn == 600
    assert limits.wait_s(10.0, 0) == pytest.approx(600 / (590 / 60), abs=1.0)
    limits.settle(drawn, 2000.0)
    assert limits.wait_s(10.0, 0) == pytest.approx(2000 / (590 / 60), abs=1.0)


def test_a_call_that_did_not_go_out_has_taken_nothing():
    limits = RateLimits(requests_per_minute=1, tokens_per_minute=600, clock=Clock())
    limits.learn(Rates(requests=Allowance(1, 1, 30.0), tokens=Allowance(500, 500, 30.0)), 0, 0.0, 0.0)
    limits.give_back(limits.draw(1e9))
    assert limits.wait_s(500.0, 0) == 0


def test_without_limits_nothing_waits():
    limits = RateLimits(clock=Clock())
    limits.draw(1e9)
    assert limits.wait_s(1e9, 1000) == 0


def test_a_wait_names_the_limit_and_where_it_comes_from():
    clock = Clock()
    limits = RateLimits(requests_per_minute=1, tokens_per_minute=1e6, clock=clock)
    assert limits.wait(5.0).seconds == 0
    limits.draw(5.0)
    assert limits.wait(5.0) == (pytest.approx(60.0), "llm.requests_per_minute=1")
    limits.settle(0.0, 2e6)
    assert limits.wait(5.0) == (pytest.approx(120.0, rel=0.1), "llm.tokens_per_minute=1e+06")
    limits = RateLimits(clock=clock)
    limits.learn(Rates(requests=Allowance(0, 100, 30.0)), 0, 0.0, clock.now)
    assert limits.wait(5.0) == (pytest.approx(0.3), "the server's limit of 100 requests, as its headers say")
    limits.learn(Rates(pause_s=20.0), 0, 0.0, clock.now)
    assert limits.wait(5.0) == (pytest.approx(20.0), "a pause after the server's refusal, as its Retry-After says")
    limits = RateLimits(clock=clock)
    limits.learn(Rates(pause_s=0.0, backoff_s=2.0), 0, 0.0, clock.now)
    assert limits.wait(5.0) == (pytest.approx(2.0), "a pause after the server's refusal")


def test_a_refusal_holds_all_calls_back_then_lets_half_of_them_out_at_a_time():
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.learn(Rates(pause_s=3.0), 15, 0.0, clock.now)
    assert limits.wait_s(1.0, 0) == pytest.approx(3.0)
    clock.now += 3.0
    assert limits.wait_s(1.0, 7) == 0
    assert limits.wait_s(1.0, 8) == math.inf
    for _ in range(9):
        limits.answered()
    assert limits.wait_s(1.0, 8) == 0


def test_calls_that_were_out_already_are_the_same_refusal():
    clock = Clock()
    limits = RateLimits(clock=clock)
    went_out, clock.now = clock.now, clock.now + 1
    for left in range(15, -1, -1):
        limits.learn(Rates(pause_s=1.0), left, 0.0, went_out)
    assert not limits.given_up
    clock.now += 1.0
    assert limits.wait_s(1.0, 7) == 0
    assert limits.wait_s(1.0, 8) == math.inf


def test_pauses_double_until_the_server_is_given_up_for_a_while():
    clock = Clock()
    limits = RateLimits(clock=clock)
    pauses = []
    for _ in range(MOST_REFUSALS - 1):
        limits.learn(Rates(pause_s=0.0, backoff_s=0.5), 0, 0.0, clock.now)
        pauses.append(limits.wait_s(1.0, 0))
        clock.now += pauses[-1]
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, LONGEST_WAIT_S])
    assert not limits.given_up
    limits.learn(Rates(pause_s=0.0, backoff_s=0.5), 0, 0.0, clock.now)
    assert limits.given_up
    clock.now += GIVEN_UP_S
    assert not limits.given_up


@pytest.mark.parametrize("named", [90.0, LONGEST_PAUSE_S])
def test_a_pause_that_the_server_names_is_kept_to_its_end(named):
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.learn(Rates(pause_s=named, backoff_s=0.5), 0, 0.0, clock.now)
    assert limits.wait_s(1.0, 0) == pytest.approx(named)
    clock.now += LONGEST_WAIT_S
    assert limits.wait_s(1.0, 0) == pytest.approx(named - LONGEST_WAIT_S)


def test_an_answer_ends_the_row_of_refusals():
    clock = Clock()
    limits = RateLimits(clock=clock)
    for _ in range(3 * MOST_REFUSALS):
        limits.learn(Rates(pause_s=0.0, backoff_s=0.5), 0, 0.0, clock.now)
        assert limits.wait_s(1.0, 0) == pytest.approx(0.5)
        clock.now += 0.5
        limits.answered()
    assert not limits.given_up


def test_an_allowance_that_is_used_up_fills_again_until_its_reset():
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.learn(Rates(requests=Allowance(left=2, limit=60, reset_s=58)), 1, 0.0, clock.now)
    assert limits.wait_s(5.0, 1) == 0  # two are left, and one in flight may not be counted yet
    limits.draw(5.0)
    assert limits.wait_s(5.0, 2) == pytest.approx(1.0)
    clock.now += 1.0
    assert limits.wait_s(5.0, 2) == 0


def test_a_stated_allowance_holds_nothing_back_for_longer_than_the_longest_wait():
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.learn(Rates(tokens=Allowance(left=0, limit=1000, reset_s=86_400)), 0, 0.0, clock.now)
    assert limits.wait_s(100.0, 0) > LONGEST_WAIT_S
    clock.now += LONGEST_WAIT_S
    assert limits.wait_s(100.0, 0) == 0


def test_a_gauge_never_holds_more_than_its_capacity():
    gauge = TokenBucket(2.0, 1.0, 0.0)
    assert gauge.wait_s(2.0, 1000.0) == 0
    gauge.draw(2.0)
    assert gauge.wait_s(2.0, 1000.5) == pytest.approx(1.5)
