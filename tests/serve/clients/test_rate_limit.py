"""The run's rate limits, shared by the processes of a service."""

import asyncio
import math

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.inference.types import OverloadedError
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.serve.clients.rate_limit import RateLimit, of_fitter, of_gateway
from tests.llm.fake_server import FakeServer
from tests.serve.clients.test_llm import ask, with_server

LIMITED = LLMConfig(model="m", requests_per_minute=120, tokens_per_minute=6000)


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_shares_of_all_processes_are_the_runs_limits(replicas: int) -> None:
    shares = [of_fitter(LIMITED), *[of_gateway(LIMITED, replicas)] * replicas]
    assert sum(one.requests_per_minute or 0 for one in shares) == pytest.approx(120)
    assert sum(one.tokens_per_minute or 0 for one in shares) == pytest.approx(6000)
    assert of_gateway(LLMConfig(model="m"), replicas) == LLMConfig(model="m")


def test_requests_go_out_in_their_order_and_what_cannot_wait_takes_nothing() -> None:
    rate = RateLimit(LLMConfig(model="m", requests_per_minute=2))
    assert rate.take(1.0, 0.0) == 0.0
    waits = [rate.take(1.0, math.inf) for _ in range(2)]
    assert waits == [pytest.approx(60, rel=0.1), pytest.approx(120, rel=0.1)]
    with pytest.raises(OverloadedError) as refused:
        rate.take(1.0, 30.0)
    assert refused.value.retry_after_s == pytest.approx(180, rel=0.1)
    assert rate.take(1.0, math.inf) == pytest.approx(180, rel=0.1)


def test_tokens_that_were_feared_but_not_used_are_given_back() -> None:
    rate = RateLimit(LLMConfig(model="m", tokens_per_minute=600))
    assert rate.take(2000.0, 0.0) == 0.0
    rate.settle(2000.0, 5.0)
    assert rate.take(5.0, 1.0) == 0.0


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
