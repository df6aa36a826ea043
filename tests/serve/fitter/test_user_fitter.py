"""One user's heads, fitted by the service."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra_ray.inference.types import LLMDownError
from hydra_ray.serve.bundle import COMPONENTS
from hydra_ray.serve.fitter.publish import head_of
from hydra_ray.serve.fitter.training_data import UserTrainingData
from hydra_ray.serve.fitter.user_fitter import FitOutcome
from tests.serve.fit_world import BlackBox, World, answer_of
from tests.serve.fitter.fitting import cancelled_at, fit, heads, key


@pytest.mark.parametrize("kind", ["linear", "bayesian_linear", "low_rank"])
def test_the_heads_are_those_of_the_main_job_missing_answers_and_all(tmp_path: Path, kind: str) -> None:
    world = World.make(tmp_path, kind)
    job = world.fitted_by_the_job()
    own, some_missing = 0, False
    for i, user in enumerate(world.users):
        box = BlackBox()
        fitted = fit(world, box, i)
        assert fitted.queries == 4
        assert fitted.calls == len(box.requests) == 4 * 3 + 4
        missing = sum(not answer_of(request) for request in box.requests)
        assert (f"; {missing} of them without an answer" in fitted.message) == (missing > 0)
        some_missing |= missing > 0
        for component, found in heads(world, i).items():
            store = world.stores[component]
            assert store is not None
            assert fitted.versions[component] == store.version
            wanted = head_of(job[component], user.user_id)
            assert (found is None) == (wanted is None) == fitted.kept_shared_head[component]
            assert (component in fitted.message) == fitted.kept_shared_head[component]
            if found is not None and wanted is not None:
                own += 1
                assert all(np.abs(wanted[name]).max() > 1e-3 for name in wanted if name != "down")
                for name in wanted:
                    np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
    assert own >= 3
    assert some_missing


def test_experts_are_mixed_as_in_the_main_job_and_ask_nothing(tmp_path: Path) -> None:
    world, box = World.make(tmp_path, "mixture", users=1), BlackBox()
    fitted = fit(world, box)
    assert (box.requests, fitted.calls, fitted.queries) == ([], 0, 0)
    job = world.fitted_by_the_job()
    for component, found in heads(world).items():
        wanted = head_of(job[component], world.users[0].user_id)
        assert found is not None
        assert wanted is not None
        np.testing.assert_allclose(found["mixture"], wanted["mixture"], atol=1e-6)


def test_shared_heads_belong_to_no_user(tmp_path: Path) -> None:
    fitted = fit(World.make(tmp_path, "shared", users=1))
    assert fitted.versions == {}
    assert fitted.message == "shared heads: users have none of their own"


def test_a_history_too_short_for_a_pseudo_query_takes_the_old_heads_away(tmp_path: Path) -> None:
    world = World.make(tmp_path, "bayesian_linear", users=1)
    before = fit(world)
    assert all(heads(world).values())
    for items in (1, 0):
        box = BlackBox()
        fitted = fit(world, box, items=items)
        assert box.requests == []
        assert fitted.kept_shared_head == {"reranker": True, "adapter": True}
        assert fitted.message.endswith("a fit needs two items, one of them with text and answer")
        assert not any(heads(world).values())
        assert fitted.versions["reranker"] > before.versions["reranker"]


def test_an_llm_that_is_down_is_reported_and_the_old_heads_stay(tmp_path: Path) -> None:
    world = World.make(tmp_path, "bayesian_linear", users=1)
    fit(world)
    before = heads(world)
    with pytest.raises(LLMDownError):
        fit(world, BlackBox(lambda request: ()))
    # The second stage alone is down: the reranker's new head is not published either.
    with pytest.raises(LLMDownError):
        fit(world, BlackBox(lambda request: answer_of(request) if request.n == 1 else ()), items=6)
    for component, found in heads(world).items():
        old = before[component]
        assert found is not None
        assert old is not None
        assert all(np.array_equal(found[name], old[name]) for name in found)


def test_the_event_loop_goes_on_while_a_head_is_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, learn, went_on = World.make(tmp_path, users=1), UserTrainingData.learn_reranker, threading.Event()

    def waits_for_the_loop(self: UserTrainingData, *args: Any) -> Any:
        assert went_on.wait(10)
        return learn(self, *args)

    monkeypatch.setattr(UserTrainingData, "learn_reranker", waits_for_the_loop)

    async def both() -> FitOutcome:
        fitting = asyncio.ensure_future(world.fitter(BlackBox()).fit(key(world), world.users[0].items))
        for _ in range(20):
            await asyncio.sleep(0.005)
        went_on.set()
        return await fitting

    assert asyncio.run(both()).queries == 4


def test_cancelled_while_learning_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, learn = World.make(tmp_path, users=1), UserTrainingData.learn_adapter
    began, may_end = threading.Event(), threading.Event()

    def slow(self: UserTrainingData, rows: Any) -> Any:
        began.set()
        assert may_end.wait(10)
        return learn(self, rows)

    monkeypatch.setattr(UserTrainingData, "learn_adapter", slow)
    cancelled_at(world, world.fitter(BlackBox()), began, may_end)
    assert not any(heads(world).values())


def test_users_of_two_tenants_are_two_users(tmp_path: Path) -> None:
    world = World.make(tmp_path, "bayesian_linear", users=1)
    fit(world)
    store = world.stores["reranker"]
    assert store is not None
    assert store.users() == [f"tenant\x1f{world.users[0].user_id}"]
    assert head_of(store, f"other\x1f{world.users[0].user_id}") is None
    assert list(COMPONENTS) == ["reranker", "adapter"]
