import pytest

from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker, CircuitOpenError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    return CircuitBreaker(failures=3, window_s=10, open_s=2, clock=clock), clock


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit())


def test_failures_in_a_row_open_it_and_an_answer_in_between_does_not() -> None:
    breaker, clock = made()
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.closed
    fail(breaker, 1)
    assert not breaker.closed
    clock.now = 0.5
    with pytest.raises(CircuitOpenError) as refused:
        breaker.admit()
    assert refused.value.retry_after_s == 1.5


def test_failures_far_apart_do_not_open_it() -> None:
    breaker, clock = made()
    for clock.now in (0.0, 6.0, 12.0):
        fail(breaker, 1)
    assert breaker.closed
    clock.now = 13.0
    fail(breaker, 1)
    assert not breaker.closed


def test_one_probe_goes_out_and_decides() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now = 2.0
    assert breaker.admit() is True
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    breaker.failed(True)
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    clock.now = 4.0
    assert breaker.admit() is True
    breaker.succeeded()
    assert breaker.closed
    assert breaker.admit() is False
    fail(breaker, 2)
    assert breaker.closed  # the failures before the answer are forgotten


def test_a_probe_whose_caller_left_makes_room_for_the_next() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now = 2.0
    breaker.abandoned(breaker.admit())
    assert breaker.admit() is True


def test_a_late_failure_of_an_earlier_attempt_is_not_the_probes() -> None:
    breaker, clock = made()
    early = breaker.admit()
    fail(breaker, 3)
    clock.now = 2.0
    probe = breaker.admit()
    breaker.failed(early)
    with pytest.raises(CircuitOpenError):
        breaker.admit()  # the probe is still out
    assert probe is True
    breaker.succeeded()
    assert breaker.closed


def test_a_check_tells_whether_an_attempt_would_be_admitted_and_is_none() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=1, window_s=10, open_s=2, clock=clock)
    breaker.check()
    breaker.failed(False)
    with pytest.raises(CircuitOpenError):
        breaker.check()
    clock.now += 2
    breaker.check()
    assert breaker.admit()
    with pytest.raises(CircuitOpenError):
        breaker.check()
