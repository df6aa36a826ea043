import time

import pytest

from hydra_ray.inference.request_state import RequestState
from hydra_ray.inference.types import DeadlineError, PersonalizeRequest, ScoreResult, UserKey

USER = UserKey("acme", "ann")


def test_a_stage_is_timed_whether_or_not_it_fails() -> None:
    state = RequestState(PersonalizeRequest("q"), USER)
    with pytest.raises(LookupError), state.timed("retrieve"):
        raise LookupError
    with state.timed("rerank"):
        pass
    state.end()
    assert set(state.ms) == {"retrieve", "rerank", "total"}
    assert state.ms["total"] >= state.ms["retrieve"] >= 0


def test_past_the_deadline_nothing_more_is_done() -> None:
    RequestState(PersonalizeRequest("q"), USER).check_deadline()
    with pytest.raises(DeadlineError, match="the deadline has passed"):
        RequestState(PersonalizeRequest("q", deadline=time.time() - 1), USER).check_deadline()


def test_whose_heads_scored(caplog: pytest.LogCaptureFixture) -> None:
    state = RequestState(PersonalizeRequest("q"), USER)
    state.scored("reranker", ScoreResult((0.5,), True, 7))
    state.scored("adapter", ScoreResult((0.5,), False, 9, "heads/data/0.lance is broken"))
    assert state.heads == {"reranker": 7, "adapter": 9}
    assert state.own_heads == ["reranker"]
    assert [(one.reason, one.detail) for one in state.degraded] == [
        ("head_unreadable", "the adapter's; the service's log says why")
    ]
    assert "0.lance is broken" in caplog.text
