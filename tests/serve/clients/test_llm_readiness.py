"""Whether the LLM answers: found out seldom, cheaply, once for all who ask; over real HTTP on this machine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from hydra_ray.config import Config, LLMConfig
from hydra_ray.env import Secret
from hydra_ray.serve.clients import llm_readiness
from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.serve.clients.llm_readiness import FREE_EVERY_S, FRESH_S, TRIAL, TRIAL_EVERY_S, LLMReadiness
from hydra_ray.serve.remote_service import RemoteService
from tests.llm.fake_server import FakeServer, completion, error, serve
from tests.serve.clients.test_llm import ask

REFUSES = "it refuses this service; the service's log says why"


class Clock:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Use = Callable[[LLMReadiness, LLMClientAdapter, Clock], Awaitable[None]]


def with_server(fake: FakeServer, use: Use, breaker: CircuitBreaker | None = None, url: str | None = None) -> None:
    async def go() -> None:
        async with serve(fake):
            config = LLMConfig(model="m", retries=0)
            samples = LLMClientAdapter(config, url or fake.url, 8, key=Secret("k" * 20), breaker=breaker)
            clock = Clock()
            try:
                await use(LLMReadiness(samples, clock), samples, clock)
            finally:
                await samples.close()

    asyncio.run(go())


def test_a_service_that_never_answered_asks_once_for_all_who_look() -> None:
    fake = FakeServer()

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        assert await asyncio.gather(*(ready.state() for _ in range(20))) == ["ok"] * 20
        assert [body["max_tokens"] for body in fake.bodies] == [TRIAL.max_tokens]
        for _ in range(50):  # an answer has been seen: from now on only the free list is asked
            clock.now += FREE_EVERY_S
            assert await ready.state() == "ok"
        assert len(fake.bodies) == 1

    with_server(fake, use)


def test_nothing_is_asked_while_answers_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeServer()

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        async def never(timeout_s: float) -> None:
            raise AssertionError("asked")

        await ask(samples)
        monkeypatch.setattr(samples, "listed", never)
        assert samples.answered_at is not None
        clock.now = samples.answered_at + FRESH_S - 1
        assert await ready.state() == "ok"

    with_server(fake, use)


def test_a_list_of_models_is_no_answer() -> None:
    """No credit: the list works, no answer does; a trial is paid for now and then, however many look."""
    fake = FakeServer(script=lambda number, body: error(402) if number < 3 else None)

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        for trial in (1, 2, 3):
            for _ in range(7):
                status = await ready.state()
                assert (
                    status == "the language model does not answer: it refuses this service; the service's log says why"
                )
                clock.now += FREE_EVERY_S
            assert len(fake.bodies) == trial
            clock.now += TRIAL_EVERY_S
        assert await ready.state() == "ok"

    with_server(fake, use)


def test_a_key_that_may_not_list_models_may_answer() -> None:
    fake = FakeServer(listing=lambda number: error(403, "Missing scopes: api.model.read"))

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        assert await ready.state() == "ok"
        clock.now += FRESH_S
        assert await ready.state() == "ok"
        assert len(fake.bodies) == 1

    with_server(fake, use)


def test_what_answered_and_fails_now_is_found_out() -> None:
    broken = [False]

    def script(number: int, body: dict[str, Any]) -> web.Response:
        return error(500) if broken[0] else completion(["a"])

    fake = FakeServer(script=script)

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        assert await ready.state() == "ok"
        broken[0] = True
        with pytest.raises(Exception, match="HTTP 500"):
            await ask(samples)
        clock.now += TRIAL_EVERY_S
        assert await ready.state() == "the language model does not answer: HTTP 500"
        broken[0] = False
        clock.now += TRIAL_EVERY_S
        assert await ready.state() == "ok"

    with_server(fake, use)


def test_an_open_circuit_is_no_trial() -> None:
    now = [0.0]
    broken = [True]
    fake = FakeServer(script=lambda number, body: error(500) if broken[0] else None)

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        with pytest.raises(Exception, match="HTTP 500"):
            await ask(samples)
        assert "none is made for a moment" in await ready.state()
        broken[0] = False
        now[0] += 10  # the circuit lets a probe out
        clock.now += FREE_EVERY_S
        assert await ready.state() == "ok"

    with_server(fake, use, CircuitBreaker(1, clock=lambda: now[0]))


def test_a_server_that_is_not_there() -> None:
    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        assert await ready.state() == "it cannot be reached"

    fake = FakeServer()
    with_server(fake, use, url="http://127.0.0.1:9/v1")
    assert fake.bodies == []


def test_one_who_looks_waits_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_readiness, "WAIT_S", 0.05)
    fake = FakeServer()

    async def use(ready: LLMReadiness, samples: LLMClientAdapter, clock: Clock) -> None:
        gate, statuses = asyncio.Event(), []

        async def listed(timeout_s: float) -> None:
            await gate.wait()

        monkeypatch.setattr(samples, "listed", listed)
        statuses.append(await ready.state())
        gate.set()
        while (status := await ready.state()) != "ok":
            statuses.append(status)
        assert set(statuses) == {"it has not answered yet"}

    with_server(fake, use)


def test_the_gateway_names_every_part() -> None:
    class Down:
        async def state(self) -> str:
            return REFUSES

    class Part:
        async def call(self, method: str) -> None:
            assert method == "ping"

    from hydra_ray.serve.bundle import RunArtifacts

    bundle: Any = RunArtifacts("a-run", Config(), 0, {}, {}, {}, None)  # type: ignore[arg-type]
    part: Any = Part()
    service = RemoteService(bundle, None, part, part, part, Down(), None, None)  # type: ignore[arg-type]
    assert asyncio.run(service.ready()) == {"history_server": "ok", "scorer": "ok", "fitter": "ok", "llm": REFUSES}
