from tenacity import Future, RetryCallState

from hydra_ray.llm.retry import LONGEST_WAIT_S, TransientError, backoff, is_transient


def test_which_statuses_are_retried():
    assert all(is_transient(s) for s in (408, 409, 425, 429, 500, 502, 503, 504, 529))
    assert not any(is_transient(s) for s in (200, 301, 400, 401, 403, 404, 413, 422))


def _state(attempt: int, retry_after_s: float | None) -> RetryCallState:
    state = RetryCallState(None, None, (), {})
    state.attempt_number = attempt
    state.outcome = Future(attempt)
    state.outcome.set_exception(TransientError("x", retry_after_s=retry_after_s))
    return state


def test_backoff_doubles_with_jitter_and_is_capped():
    low, high = backoff(0.5, lambda: 0.0), backoff(0.5, lambda: 1.0)
    assert [low(_state(i, None)) for i in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert [high(_state(i, None)) for i in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert high(_state(40, None)) == LONGEST_WAIT_S


def test_the_pause_the_server_asks_for_is_never_cut_short():
    assert backoff(0.5, lambda: 0.0)(_state(1, 7.0)) == 7.0
    assert 7.0 < backoff(0.5, lambda: 1.0)(_state(1, 7.0)) < 8.0
