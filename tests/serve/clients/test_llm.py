"""The black box over real HTTP on this machine, as the service asks it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret
from hydra_ray.inference.types import DeadlineError, LLMDownError, LLMResponse, PromptTooLongError, RefusedError
from hydra_ray.llm.types import Request
from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker
from hydra_ray.serve.clients.llm import LLMClientAdapter
from tests.llm.fake_server import FakeServer, completion, error, serve

KEY = "sk-very-secret-0123456789"


def with_server(
    fake: FakeServer,
    use: Callable[[LLMClientAdapter], Awaitable[Any]],
    connections: int = 8,
    breaker: CircuitBreaker | None = None,
    **settings: Any,
) -> Any:
    """What `use` makes of the samples."""

    async def go() -> Any:
        async with serve(fake):
            config = LLMConfig(**{"model": "m", "retry_backoff_s": 0.005, **settings})
            samples = LLMClientAdapter(config, fake.url, connections, key=Secret(KEY), breaker=breaker)
            try:
                return await use(samples)
            finally:
                await samples.close()

    return asyncio.run(go())


def request(text: str = "a", n: int = 1, temperature: float = 1.0, **more: Any) -> Request:
    return Request(({"role": "user", "content": text},), temperature, n, 4, **more)


async def ask(samples: LLMClientAdapter, n: int = 1, within_s: float = 10.0, seed: int | None = None) -> LLMResponse:
    return await samples.sample(request(n=n, seed=seed), deadline=time.time() + within_s)


def test_samples_come_in_one_call_where_the_server_can() -> None:
    fake = FakeServer()
    made = with_server(fake, lambda samples: ask(samples, 4, seed=3))
    assert made == LLMResponse(("a/0", "a/1", "a/2", "a/3"), 7, 8, 0)
    assert [(body["n"], body["seed"]) for body in fake.bodies] == [(4, 3)]
    assert fake.keys == [f"Bearer {KEY}"]


def test_what_max_tokens_ended_is_told_by_its_place_among_all_samples() -> None:
    fake = FakeServer(lambda number, body: completion(["x"] * min(2, body.get("n", 1)), cut=[[1], [0], []][number]))
    made = with_server(fake, lambda samples: ask(samples, 4))
    assert (made.texts, made.cut) == (("x",) * 4, {1, 2})


def test_samples_that_a_call_leaves_out_are_asked_for_one_by_one() -> None:
    fake = FakeServer(
        lambda number, body: completion([f"s{body['seed'] + i}" for i in range(min(2, body.get("n", 1)))])
    )
    made = with_server(fake, lambda samples: ask(samples, 5, seed=10))
    assert made.texts == ("s10", "s11", "s12", "s13", "s14")
    assert (made.prompt_tokens, made.completion_tokens) == (4 * 7, 4 + 3 * 2)
    assert len(fake.bodies) == 4


@pytest.mark.parametrize(("status", "learned"), [(400, True), (403, True), (422, True), (500, False)])
def test_n_that_is_refused_without_a_name_is_found_out(status: int, learned: bool) -> None:
    async def use(samples: LLMClientAdapter) -> Any:
        return [(await ask(samples, 3)).texts for _ in range(6)], samples.up, samples.counts.attempts

    fake = FakeServer(lambda number, body: error(status, "bad request") if "n" in body else None)
    texts, up, attempts = with_server(fake, use, retries=0)
    assert (texts, up) == ([("a/0",) * 3] * 6, True)
    assert sum("n" in body for body in fake.bodies) == (1 if learned else 6)
    assert attempts == len(fake.bodies)


def test_a_question_that_is_refused_with_and_without_n_is_refused() -> None:
    async def use(samples: LLMClientAdapter) -> Any:
        with pytest.raises(RefusedError, match="HTTP 400: flagged"):
            await ask(samples, 3)

    fake = FakeServer(lambda number, body: error(400, "flagged"))
    with_server(fake, use)
    assert [body.get("n") for body in fake.bodies] == [3, None]


def test_a_server_that_gives_one_sample_a_call_is_asked_for_all_at_once() -> None:
    async def slowly(number: int, body: dict[str, Any]) -> Any:
        await asyncio.sleep(0.02 * (4 - body["seed"] % 10))
        return completion([f"s{body['seed']}"])

    fake = FakeServer(slowly)
    made = with_server(fake, lambda samples: ask(samples, 4, seed=10), supports_n=False)
    assert made.texts == ("s10", "s11", "s12", "s13")
    assert fake.most_in_flight == 4
    assert all("n" not in body for body in fake.bodies)


def test_what_may_pass_is_tried_again_and_counted() -> None:
    async def use(samples: LLMClientAdapter) -> Any:
        return await ask(samples), samples.counts

    fake = FakeServer(lambda number, body: error([500, 429][number]) if number < 2 else None)
    made, counts = with_server(fake, use)
    assert (made.texts, made.retries) == (("a/0",), 2)
    assert (counts.attempts, counts.calls, counts.retries, counts.down) == (3, 1, 2, 0)
    assert (counts.prompt_tokens, counts.completion_tokens) == (7, 2)


def test_the_deadline_is_the_requests_timeout() -> None:
    async def use(samples: LLMClientAdapter) -> Any:
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            await ask(samples, within_s=0.15)
        took = time.monotonic() - began
        with pytest.raises(DeadlineError):
            await ask(samples, within_s=-1)
        return took, samples.counts

    fake = FakeServer(delay_s=1)
    took, counts = with_server(fake, use)
    assert 0.1 < took < 0.9
    assert len(fake.bodies) == 1
    assert counts.late == 2


def test_no_pause_outlasts_the_deadline() -> None:
    fake = FakeServer(lambda number, body: error(503, **{"Retry-After": "7"}))

    async def use(samples: LLMClientAdapter) -> float:
        began = time.monotonic()
        with pytest.raises(LLMDownError, match="HTTP 503") as down:
            await ask(samples, within_s=5)
        assert down.value.retry_after_s == 7
        return time.monotonic() - began

    assert with_server(fake, use) < 2
    assert len(fake.bodies) == 1


def test_a_prompt_that_is_too_long_is_asked_in_a_shorter_version() -> None:
    def script(number: int, body: dict[str, Any]) -> Any:
        return error(400, "prompt is too long") if len(body["messages"][0]["content"]) > 1 else None

    async def use(samples: LLMClientAdapter, fallbacks: Any) -> LLMResponse:
        return await samples.sample(request("aaa", 2, fallbacks=fallbacks), deadline=time.time() + 10)

    shorter = [({"role": "user", "content": "aa"},), ({"role": "user", "content": "a"},)]
    made = with_server(FakeServer(script), lambda samples: use(samples, shorter))
    assert (made.texts, made.shortened) == (("a/0", "a/1"), 2)
    with pytest.raises(PromptTooLongError, match="prompt is too long"):
        with_server(FakeServer(script), lambda samples: use(samples, shorter[:1]))


def test_one_users_flagged_prompts_open_no_circuit_for_others() -> None:
    async def of(samples: LLMClientAdapter, text: str) -> LLMResponse:
        return await samples.sample(request(text, 1, 0.0), deadline=time.time() + 10)

    async def use(samples: LLMClientAdapter) -> Any:
        await of(samples, "fine")
        for i in range(30):
            with pytest.raises(RefusedError, match="HTTP 403: flagged"):
                await of(samples, f"bad {i}")
        return (await of(samples, "fine too")).texts, samples.up

    def script(number: int, body: dict[str, Any]) -> Any:
        return error(403, "flagged") if body["messages"][0]["content"].startswith("bad") else None

    assert with_server(FakeServer(script), use) == (("fine too/0",), True)


@pytest.mark.parametrize("status", [403, 404, 451])
def test_the_very_first_prompts_may_be_refused_and_the_server_be_up(status: int) -> None:
    def script(number: int, body: dict[str, Any]) -> Any:
        return error(status, "flagged") if body["messages"][0]["content"] == "a" else None

    async def use(samples: LLMClientAdapter) -> bool:
        for _ in range(12):
            with pytest.raises(RefusedError, match=f"HTTP {status}: flagged"):
                await ask(samples)
        return samples.up

    assert with_server(FakeServer(script), use)


def test_further_parameters_are_sent_as_they_are() -> None:
    async def use(samples: LLMClientAdapter) -> LLMResponse:
        return await samples.sample(
            request(n=2, temperature=0.5), deadline=time.time() + 10, more={"stop": ["x"], "top_p": 0.5}
        )

    fake = FakeServer()
    with_server(fake, use)
    assert [(body["stop"], body["top_p"], body["n"]) for body in fake.bodies] == [(["x"], 0.5, 2)]


def test_a_refusal_is_no_answer() -> None:
    def script(number: int, body: dict[str, Any]) -> Any:
        refused = {"message": {"content": None, "refusal": "I cannot help with that."}}
        filtered = {"message": {"content": "Half an ans"}, "finish_reason": "content_filter"}
        choices = [refused, filtered, {"message": {"content": "maple"}, "finish_reason": "stop"}]
        return web.json_response({"choices": [{"index": i, **choice} for i, choice in enumerate(choices)]})

    assert with_server(FakeServer(script), lambda samples: ask(samples, 3)).texts == ("", "", "maple")


def test_a_key_that_is_revoked_makes_the_server_look_down() -> None:
    async def use(samples: LLMClientAdapter, fake: FakeServer) -> int:
        await ask(samples)
        fake.script = lambda number, body: error(403, "revoked")
        ends = await asyncio.gather(*(ask(samples) for _ in range(20)), return_exceptions=True)
        return sum(isinstance(end, RefusedError) for end in ends)

    fake = FakeServer()
    assert with_server(fake, lambda samples: use(samples, fake)) < 8


def test_greedy_is_asked_once() -> None:
    async def use(samples: LLMClientAdapter) -> LLMResponse:
        return await samples.sample(request(n=3, temperature=0.0), deadline=time.time() + 10)

    fake = FakeServer(lambda number, body: completion(["x"], cut=[0]))
    made = with_server(fake, use)
    assert (made.texts, made.cut) == (("x",) * 3, {0, 1, 2})
    assert ["n" in body for body in fake.bodies] == [False]


def test_a_refused_prompt_gets_the_servers_words() -> None:
    async def use(samples: LLMClientAdapter) -> Any:
        for _ in range(10):
            with pytest.raises(RefusedError, match=r"HTTP 400: too long for \[key\]"):
                await ask(samples)
        return samples.up, samples.counts.refused

    fake = FakeServer(lambda number, body: error(400, f"too\nlong for {KEY}"))
    assert with_server(fake, use) == (True, 10)
    assert len(fake.bodies) == 10


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_server_that_refuses_the_service_is_down_and_only_the_log_says_why(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeServer(lambda number, body: error(status, f"bad key {KEY}"))

    async def use(samples: LLMClientAdapter) -> str:
        with pytest.raises(LLMDownError) as down:
            await ask(samples)
        return str(down.value)

    with caplog.at_level(logging.ERROR):
        message = with_server(fake, use)
    assert "127.0.0.1" not in message
    assert f"HTTP {status}" in caplog.text
    assert KEY not in message + caplog.text
    # 403 and 404 may be one prompt's: another one shows that all prompts meet them.
    assert len(fake.bodies) == (2 if status in {403, 404} else 1)


def test_a_server_that_is_away_is_not_waited_for_and_found_again() -> None:
    async def use(samples: LLMClientAdapter, fake: FakeServer) -> None:
        for _ in range(3):
            with pytest.raises(LLMDownError, match="HTTP 500"):
                await ask(samples)
        assert not samples.up
        for _ in range(20):
            with pytest.raises(LLMDownError, match="none is made for a moment") as down:
                await ask(samples)
            assert down.value.retry_after_s == 2.0
        assert len(fake.bodies) == 3
        now[0] = 2.0
        fake.script = None
        fake.delay_s = 0.05
        first = [asyncio.ensure_future(ask(samples)) for _ in range(5)]
        done = await asyncio.gather(*first, return_exceptions=True)
        assert sum(isinstance(one, LLMResponse) for one in done) == 1  # the probe
        assert samples.up
        assert (await ask(samples)).texts == ("a/0",)

    fake = FakeServer(lambda number, body: error(500))
    now = [0.0]
    breaker = CircuitBreaker(failures=3, open_s=2.0, clock=lambda: now[0])
    with_server(fake, lambda samples: use(samples, fake), breaker=breaker, retries=0)


def test_a_port_without_a_server_is_down() -> None:
    async def go() -> str:
        fake = FakeServer()
        async with serve(fake):
            url = fake.url
        samples = LLMClientAdapter(LLMConfig(model="m", retries=1, retry_backoff_s=0.001), url, 4)
        with pytest.raises(LLMDownError) as down:
            await ask(samples)
        await samples.close()
        assert samples.counts.retries == 1
        return str(down.value)

    assert asyncio.run(go()) == "the language model does not answer: it cannot be reached"


def test_callers_in_a_hurry_do_not_make_the_server_look_down() -> None:
    async def use(samples: LLMClientAdapter) -> bool:
        for _ in range(8):
            with pytest.raises(DeadlineError):
                await ask(samples, within_s=0.02)
        return samples.up

    assert with_server(FakeServer(delay_s=0.2), use)


def test_a_cancelled_caller_frees_the_connection_and_a_probe_its_turn() -> None:
    async def use(samples: LLMClientAdapter, fake: FakeServer) -> LLMResponse:
        with pytest.raises(LLMDownError):
            await ask(samples)
        await asyncio.sleep(0.02)
        fake.script, fake.delay_s = None, 1.5
        waiting = asyncio.ensure_future(ask(samples))
        while not fake.in_flight:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        fake.delay_s = 0
        made = await ask(samples, within_s=1.2)
        assert fake.in_flight == 1  # the server is still at the first, on a connection of its own
        return made

    fake = FakeServer(lambda number, body: error(500))
    breaker = CircuitBreaker(failures=1, open_s=0.01)
    made = with_server(fake, lambda samples: use(samples, fake), connections=1, breaker=breaker, retries=0)
    assert made.texts == ("a/0",)


def test_waiting_for_a_connection_counts_against_the_deadline() -> None:
    async def use(samples: LLMClientAdapter) -> None:
        long = asyncio.ensure_future(ask(samples))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineError):
            await ask(samples, within_s=0.1)
        long.cancel()

    fake = FakeServer(delay_s=0.5)
    with_server(fake, use, connections=1)
    assert len(fake.bodies) == 1


@pytest.mark.parametrize("body", ["no json", "{}", '{"choices": []}'])
def test_answers_that_are_none_are_tried_again_and_then_down(body: str) -> None:
    fake = FakeServer(lambda number, _: web.Response(text=body))

    async def use(samples: LLMClientAdapter) -> None:
        with pytest.raises(LLMDownError, match="cannot be read"):
            await ask(samples)

    with_server(fake, use, retries=2)
    assert len(fake.bodies) == 3
