"""Calls of a part of the service: what counts as down, what is tried again, what is not waited for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from hydra_ray.errors import UserError
from hydra_ray.inference.types import DeadlineError, OverloadedError, StageDownError
from hydra_ray.serve.clients import deployments
from hydra_ray.serve.clients.deployments import RemoteDeployment
from hydra_ray.serve.state.users import NotStoredError
from tests.serve.conftest import Lines

BROKEN = RayTaskError("retrieve", "Traceback\nUserError: ...", UserError("/state/bucket is broken"))


class Response:
    """Of a handle's call: awaited once, cancelled when the caller stops waiting."""

    def __init__(self, handle: "Handle", answer: Any) -> None:
        self.handle, self.answer = handle, answer

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        if self.answer is NEVER:
            await asyncio.sleep(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def cancel(self) -> None:
        self.handle.cancelled += 1


NEVER = object()


class Handle:
    """Answers with what it was told to, in turn; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests = self.cancelled = 0
        self.sessions: list[str] = []

    def options(self, *, session_id: str) -> "Handle":
        self.sessions.append(session_id)
        return self

    def __getattr__(self, method: str) -> Callable[..., Response]:
        def call(*args: Any) -> Response:
            self.requests += 1
            return Response(self, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

        call.remote = call  # type: ignore[attr-defined]
        return call


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "REPLACED_S", 0.5)


def part(handle: Handle, longest_s: float = 0.4, patience_s: float = 0.6) -> RemoteDeployment:
    return RemoteDeployment(handle, "scorer", 8, longest_s, patience_s)


def outcome(of: Any) -> Any:
    """What a call comes to: its answer, or the error's type."""
    try:
        return asyncio.run(of)
    except (StageDownError, OverloadedError, DeadlineError) as error:
        return error


def test_a_call_whose_replica_dies_goes_to_another_once() -> None:
    handle = Handle(ActorDiedError(), "answer")
    assert outcome(part(handle).call("score", affine="t\x1fann", tries=2)) == "answer"
    assert handle.requests == 2
    assert len(set(handle.sessions)) == 1
    assert isinstance(outcome(part(Handle(ActorDiedError(), "answer")).call("score")), StageDownError)


def test_without_another_replica_the_second_attempt_is_short() -> None:
    handle = Handle(ActorDiedError(), NEVER)
    began = time.perf_counter()
    assert isinstance(outcome(part(handle, longest_s=20).call("score", tries=2)), StageDownError)
    assert time.perf_counter() - began < 5
    assert handle.cancelled == 1


def test_an_answer_that_is_an_error_is_not_asked_for_again_and_breaks_nothing() -> None:
    handle = Handle(BROKEN)
    broken = part(handle)
    for i in range(5):
        error = outcome(broken.call("retrieve", tries=2))
        assert isinstance(error, StageDownError)
        assert str(error) == "scorer: it failed (UserError); the service's log says why"
        assert handle.requests == i + 1


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_part_that_has_no_room_says_so_without_the_path(wrapped: bool, lines: Lines) -> None:
    full = NotStoredError("/state/bucket: cannot write: database or disk is full; nothing was written")
    error = RayTaskError("append", "Traceback\n...", full) if wrapped else full
    made = outcome(part(Handle(error)).insist("append"))
    assert isinstance(made, StageDownError)
    assert str(made) == "scorer: it cannot store anything now; the service's log says why"
    assert [line["message"] for line in lines()] == [f"scorer: NotStoredError: {full}"]


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (BROKEN, "scorer: UserError: /state/bucket is broken"),
        (UserError("/state/bucket is broken"), "scorer: UserError: /state/bucket is broken"),
        (ActorDiedError(), "scorer: ActorDiedError: "),
        (RayTaskError("score", "Traceback\nKeyError: 'the text'", KeyError("the text")), "scorer: KeyError"),
        (ValueError("the text"), "scorer: ValueError"),
    ],
)
def test_clients_see_no_paths_and_the_log_no_texts(error: Exception, logged: str, lines: Lines) -> None:
    shown = str(outcome(part(Handle(error)).call("score")))
    assert shown == f"scorer: it failed ({logged.split(': ')[1]}); the service's log says why"
    (line,) = lines()
    assert line["level"] == "WARNING"
    assert line["message"].startswith(logged)
    assert "the text" not in line["message"]


def test_what_is_down_costs_no_time_until_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle(NEVER)
    down = part(handle)

    async def course() -> None:
        for _ in range(deployments.BREAK_AFTER):
            with pytest.raises(StageDownError, match=r"no answer within 0\.4 s"):
                await down.call("score")
        asked, began = handle.requests, time.perf_counter()
        for _ in range(50):
            with pytest.raises(StageDownError, match="none is made for a moment"):
                await down.call("score")
        assert handle.requests == asked
        assert time.perf_counter() - began < 1
        down._breaker._open_until = 0.0
        with pytest.raises(StageDownError, match=r"no answer within 0\.5 s"):
            await down.call("score")
        assert handle.requests == asked + 1
        down._breaker._open_until = 0.0
        handle.answers = ["answer"]
        assert await down.call("score") == "answer"
        assert await down.call("score") == "answer"

    asyncio.run(course())


def test_callers_that_leave_and_deadlines_say_nothing_of_the_part() -> None:
    handle = Handle(NEVER)
    slow = part(handle, longest_s=20)

    async def course() -> None:
        for _ in range(5):
            with pytest.raises(DeadlineError):
                await slow.call("score", deadline=time.time() + 0.01)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow.call("score"), 0.01)
        assert handle.cancelled == 10
        handle.answers = ["answer"]
        assert await slow.call("score") == "answer"

    asyncio.run(course())


def test_what_cannot_be_left_out_waits_for_a_new_replica() -> None:
    handle = Handle(ActorDiedError(), ActorDiedError(), "answer")
    assert outcome(part(handle).insist("append")) == "answer"
    began = time.perf_counter()
    error = outcome(part(Handle(ActorDiedError(), NEVER)).insist("append"))
    assert str(error) == "scorer: no answer within 0.6 s"
    assert time.perf_counter() - began >= 0.6


def test_no_room_is_reported_at_once() -> None:
    full = Handle(BackPressureError(1, 1))
    assert isinstance(outcome(part(full).call("score", tries=2)), OverloadedError)
    assert isinstance(outcome(part(full).insist("append")), OverloadedError)
    assert full.requests == 2
