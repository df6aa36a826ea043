"""The run's rate limits, shared by the processes of a service."""

import asyncio
import math
import time

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.inference.types import DeadlineError, LLMDownError, OverloadedError, RefusedError
from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.serve.clients.rate_limit import RateLimit, of_fitter, of_gateway
from tests.llm.fake_server import FakeServer, error
from tests.serve.clients.test_llm import ask, with_server

LIMITED = LLMConfig(model="m", requests_per_minute=120, tokens_per_minute=6000)


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_shares_of_all_processes_are_the_runs_limits(replicas: int) -> None:
    shares = [of_fitter(LIMITED), *[of_gateway(LIMITED, replicas)] * replicas]
    assert sum(one.requests_per_minute or 0 for one in shares) == pytest.approx(120)
    assert sum(one.tokens_per_minute or 0 for one in shares) == pytest.approx(6000)
    assert of_gateway(LLMConfig(model="m"), replicas) == LLMConfig(model="m")


def test_requests_go_out_in_their_order_and_what_cannot_wait_takes_nothing() -> None:
    async def go() -> None:
        rate = RateLimit(LLMConfig(model="m", requests_per_minute=1200))
        for _ in range(20):
            await rate.take(1.0, 0.0)
        ended: list[int] = []

        async def one(number: int) -> None:
            await rate.take(1.0, math.inf)
            ended.append(number)

        waiting = [asyncio.ensure_future(one(number)) for number in range(4)]
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(OverloadedError) as refused:
                await rate.take(1.0, 0.1)
            assert refused.value.retry_after_s == pytest.approx(5 * 60 / 1180, rel=0.1)
        await asyncio.gather(*waiting)
        assert ended == [0, 1, 2, 3]

    asyncio.run(go())


def test_tokens_that_were_feared_but_not_used_are_given_back_also_to_those_that_wait() -> None:
    async def go() -> None:
        rate = RateLimit(LLMConfig(model="m", tokens_per_minute=600))
        taken = await rate.take(2000.0, 0.0)
        assert taken == 600
        waiting = asyncio.ensure_future(rate.take(1.0, math.inf))
        await asyncio.sleep(0)
        rate.settle(taken, 5.0)
        await asyncio.wait_for(waiting, 1.0)

    asyncio.run(go())


def test_a_request_that_is_given_up_while_it_waits_takes_no_room() -> None:
    fake = FakeServer()

    async def hang_up(samples: LLMClientAdapter) -> None:
        await ask(samples)
        gone = [asyncio.ensure_future(ask(samples, within_s=90.0)) for _ in range(25)]
        await asyncio.sleep(0.05)
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        await ask(samples, within_s=3.0)

    with_server(fake, hang_up, requests_per_minute=60)
    assert len(fake.bodies) == 2


@pytest.mark.parametrize("status", [400, 500])
def test_a_request_that_is_not_answered_leaves_the_room_of_its_answer_to_the_next(status: int) -> None:
    fake = FakeServer(lambda number, body: error(status) if body.get("max_tokens", 0) > 4 else None)

    async def one_and_the_next(samples: LLMClientAdapter) -> tuple[str, ...]:
        with pytest.raises((RefusedError, LLMDownError)):
            await samples.forward([{"role": "user", "content": "a"}], {"max_tokens": 10**9}, time.time() + 10)
        return (await ask(samples, within_s=3.0)).texts

    assert with_server(fake, one_and_the_next, tokens_per_minute=6000, retries=0) == ("a/0",)


def test_a_deadline_that_passes_leaves_the_room_of_the_answer_to_the_next() -> None:
    fake = FakeServer(delay_s=0.3)

    async def one_and_the_next(samples: LLMClientAdapter) -> tuple[str, ...]:
        with pytest.raises(DeadlineError):
            await samples.forward([{"role": "user", "content": "a"}], {"max_tokens": 10**9}, time.time() + 0.1)
        return (await ask(samples, within_s=3.0)).texts

    assert with_server(fake, one_and_the_next, tokens_per_minute=6000) == ("a/0",)


def test_where_the_circuit_is_open_no_request_waits_for_room_or_takes_it() -> None:
    fake = FakeServer(lambda number, body: error(500))
    now = [0.0]
    breaker = CircuitBreaker(failures=1, open_s=2.0, clock=lambda: now[0])

    async def use(samples: LLMClientAdapter) -> tuple[str, ...]:
        with pytest.raises(LLMDownError, match="HTTP 500"):
            await ask(samples)
        for _ in range(20):
            began = time.monotonic()
            with pytest.raises(LLMDownError, match="none is made for a moment"):
                await ask(samples)
            assert time.monotonic() - began < 0.5
        now[0], fake.script = 2.0, None
        return (await ask(samples, within_s=3.0)).texts

    assert with_server(fake, use, breaker=breaker, retries=0, requests_per_minute=60) == ("a/0",)


def test_a_circuit_that_opens_while_requests_wait_for_room_gives_it_back() -> None:
    fake = FakeServer(lambda number, body: error(500), delay_s=0.2)
    breaker = CircuitBreaker(failures=1, open_s=60.0)

    async def use(samples: LLMClientAdapter) -> list[object]:
        ends = await asyncio.gather(*(ask(samples, within_s=4.0) for _ in range(4)), return_exceptions=True)
        return [*ends, samples.counts.attempts]

    began = time.monotonic()
    *ends, attempts = with_server(fake, use, breaker=breaker, retries=0, requests_per_minute=60)
    assert all(isinstance(end, LLMDownError) for end in ends)
    assert attempts == 1
    assert time.monotonic() - began < 2.5  # the first that waited gave its room to the others, which need none


def test_the_service_asks_no_faster_than_the_run_may() -> None:
    fake = FakeServer()

    async def three(samples: LLMClientAdapter) -> list[object]:
        first = await asyncio.gather(*(ask(samples, within_s=5.0) for _ in range(3)), return_exceptions=True)
        return [*first, samples.counts.attempts]

    *made, attempts = with_server(fake, three, requests_per_minute=1)
    assert [isinstance(one, OverloadedError) for one in made] == [False, True, True]
    assert attempts == len(fake.bodies) == 1


def test_a_request_that_has_time_waits_for_its_turn() -> None:
    fake = FakeServer()

    async def two(samples: LLMClientAdapter) -> list[str]:
        return [(await ask(samples)).texts[0] for _ in range(25)]

    assert with_server(fake, two, requests_per_minute=1200) == ["a/0"] * 25
