import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Request
from tests.llm.fake_server import FakeServer, completion, error, serve

KEY = "sk-very-secret-0123456789"
VARIABLE = "HYDRA_RAY_TEST_KEY"


def ask(text: str, n: int = 1, seed: int | None = None) -> Request:
    temperature = 1.0 if n > 1 else 0.0  # greedy is one sample
    return Request(({"role": "user", "content": text},), temperature, n, max_tokens=4, seed=seed)


def go(tmp_path: Path, fake: FakeServer, requests, *, use_cache: bool = True, **settings):
    """The answers (or the error), and the ledger, of one complete() against the fake server."""
    budget = {k: settings.get(k) for k in ("max_calls", "max_cost")}
    ledger = ResponseCache(tmp_path / "ledger.sqlite", "run", **budget)

    async def inner():
        async with serve(fake):
            cfg = LLMConfig(
                **{"base_url": fake.url, "model": "m", "retry_backoff_s": 0.005, "api_key_env": VARIABLE, **settings}
            )
            async with LLMClient(cfg, ledger, identity="m", use_cache=use_cache) as client:
                return await client.complete(requests)

    return asyncio.run(inner()), ledger


def test_order_is_kept_and_duplicates_are_paid_once(tmp_path):
    async def shuffle(number, body):
        await asyncio.sleep(0.03 * ((number * 7) % 5) / 5)

    fake = FakeServer(shuffle)
    texts = [f"q{i % 30}" for i in range(90)]
    answers, ledger = go(tmp_path, fake, [ask(t) for t in texts], concurrency=16)
    assert [a.texts for a in answers] == [(f"{t}/0",) for t in texts]
    assert len(fake.bodies) == ledger.counts().calls == 30
    assert fake.most_in_flight <= 16
    assert ledger.done() == 90
    assert all(a.prompt_tokens == 7 and a.completion_tokens == 2 for a in answers)
    assert [a.cached for a in answers] == [False] * 30 + [True] * 60


def test_cached_answers_are_no_calls(tmp_path):
    fake = FakeServer()
    go(tmp_path, fake, [ask("a", 3), ask("b")])
    answers, ledger = go(tmp_path, fake, [ask("b"), ask("c"), ask("a", 3)])
    assert [a.cached for a in answers] == [True, False, True]
    assert answers[2].texts == ("a/0", "a/1", "a/2")
    assert ledger.counts().calls == len(fake.bodies) == 3
    assert ledger.counts().cached == 2
    go(tmp_path, fake, [ask("a", 3)], use_cache=False)
    assert len(fake.bodies) == 4


def test_without_native_n_every_sample_is_its_own_call(tmp_path):
    fake = FakeServer(lambda number, body: completion([f"s{body['seed']}"]))
    answers, _ = go(tmp_path, fake, [ask("a", 4, seed=10)], supports_n=False)
    assert answers[0].texts == ("s10", "s11", "s12", "s13")
    assert all("n" not in body for body in fake.bodies)
    answers, ledger = go(tmp_path, fake, [ask("a", 6, seed=10)], supports_n=False)
    assert answers[0].texts == ("s10", "s11", "s12", "s13", "s14", "s15")
    assert ledger.counts().calls == len(fake.bodies) == 6


def test_fewer_choices_than_asked_are_topped_up(tmp_path):
    fake = FakeServer(lambda number, body: completion([f"{number}"] * min(2, body.get("n", 1))))
    answers, ledger = go(tmp_path, fake, [ask("a", 5)], concurrency=1)
    assert answers[0].texts == ("0", "0", "1", "2", "3")
    assert [body.get("n") for body in fake.bodies] == [5, None, None, None]
    answers, ledger = go(tmp_path, fake, [ask("a", 5)])
    assert answers[0].cached
    assert answers[0].texts == ("0", "0", "1", "2", "3")
    assert ledger.counts().calls == 4


def test_more_choices_than_asked_are_cut_and_null_is_empty(tmp_path):
    fake = FakeServer(lambda number, body: completion([None, "x", "y"]))
    answers, _ = go(tmp_path, fake, [ask("a", 2)])
    assert answers[0].texts == ("", "x")
    assert answers[0].error is None


def test_how_each_text_ended_is_kept(tmp_path):
    fake = FakeServer(lambda number, body: completion(["x", "", "y"], cut=[2]))
    answers, _ = go(tmp_path, fake, [ask("a", 3)])
    assert answers[0].finish == ("stop", "empty", "length")
    again, _ = go(tmp_path, fake, [ask("a", 3)])
    assert (again[0].cached, again[0].finish) == (True, answers[0].finish)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_is_retried(tmp_path, status):
    fake = FakeServer(lambda number, body: error(status) if number < 2 else None)
    answers, ledger = go(tmp_path, fake, [ask("a")])
    assert answers[0].texts == ("a/0",)
    assert len(fake.bodies) == 3
    assert (ledger.counts().calls, ledger.counts().retries) == (1, 2)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_prompt_is_missing_and_shifts_nothing(tmp_path, status):
    def script(number, body):
        return error(status, "too\nlong") if body["messages"][0]["content"] == "q3" else None

    fake = FakeServer(script)
    answers, ledger = go(tmp_path, fake, [ask(f"q{i}") for i in range(9)])
    assert [a.texts for a in answers] == [(f"q{i}/0",) if i != 3 else () for i in range(9)]
    assert answers[3].error == f"HTTP {status}: too long"
    assert [a.permanent for a in answers] == [i == 3 for i in range(9)]
    assert len(fake.bodies) == 9
    assert (ledger.counts().calls, ledger.counts().failed) == (8, 1)


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, VARIABLE), (402, "top it up"), (403, VARIABLE), (404, "llm.base_url"), (307, "final address")],
)
def test_what_every_request_would_get_ends_the_run_at_once(tmp_path, monkeypatch, caplog, status, hint):
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)
    fake = FakeServer(lambda number, body: error(status, f"wrong key {KEY}"))
    with pytest.raises(UserError, match=hint) as caught:
        go(tmp_path, fake, [ask(f"q{i}") for i in range(50)], concurrency=2)
    assert len(fake.bodies) <= 2
    assert fake.keys[0] == f"Bearer {KEY}"
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value) + caplog.text + repr(caught.value.__context__)


def test_the_key_is_cut_out_of_the_servers_messages(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    answers, _ = go(tmp_path, FakeServer(lambda number, body: error(400, f"key {KEY}?")), [ask("a")])
    assert answers[0].error == "HTTP 400: key [key]?"


def test_a_key_with_a_line_break_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{KEY}\nx")
    with pytest.raises(UserError, match=VARIABLE) as caught:
        go(tmp_path, FakeServer(), [ask("a")])
    assert KEY not in str(caught.value)


def test_retry_after_is_honoured(tmp_path):
    times = []

    def script(number, body):
        times.append(time.monotonic())
        return error(429, **{"Retry-After": "0.3"}) if number == 0 else None

    go(tmp_path, FakeServer(script), [ask("a")])
    assert 0.3 <= times[1] - times[0] < 1.0


def test_one_request_that_never_gets_through_is_missing(tmp_path):
    fake = FakeServer(lambda number, body: error(500, "sick") if body["messages"][0]["content"] == "q1" else None)
    answers, ledger = go(tmp_path, fake, [ask(f"q{i}") for i in range(4)], retries=2)
    assert [bool(a.texts) for a in answers] == [True, False, True, True]
    assert answers[1].error == "HTTP 500: sick"
    assert (ledger.counts().calls, ledger.counts().failed, ledger.counts().retries) == (3, 1, 2)
    answers, _ = go(tmp_path, FakeServer(), [ask(f"q{i}") for i in range(4)])
    assert [a.texts for a in answers] == [(f"q{i}/0",) for i in range(4)]


def test_429_for_ever_ends_the_run_and_keeps_what_was_answered(tmp_path):
    fake = FakeServer(lambda number, body: None if number < 5 else error(429))
    with pytest.raises(UserError, match=r"HTTP 429.*llm\.concurrency"):
        go(tmp_path, fake, [ask(f"q{i}") for i in range(500)], retries=1, concurrency=4)
    assert len(fake.bodies) < 60
    _, ledger = go(tmp_path, FakeServer(), [ask(f"q{i}") for i in range(5)])
    assert ledger.counts().cached == 5


def test_everything_refused_is_an_error_of_the_run(tmp_path):
    with pytest.raises(UserError, match="bad parameter"):
        go(tmp_path, FakeServer(lambda number, body: error(400, "bad parameter")), [ask(f"q{i}") for i in range(40)])


@pytest.mark.parametrize("failure", ["drop", "not json", "no choices", "html", "slow"])
def test_broken_answers_are_retried_and_may_have_been_billed(tmp_path, failure):
    async def script(number, body):
        if number > 0:
            return None
        if failure == "drop":
            raise ConnectionResetError
        if failure == "slow":
            await asyncio.sleep(2)
        texts = {"not json": "{", "no choices": '{"choices": []}', "html": "<html>"}
        return web.Response(text=texts.get(failure, ""))

    fake = FakeServer(script)
    if failure == "drop":

        async def chat(request):
            fake.bodies.append({})
            if len(fake.bodies) == 1:
                request.transport.close()
                raise web.HTTPInternalServerError
            return completion(["a/0"])

        fake.chat = chat  # type: ignore[method-assign]
    answers, ledger = go(tmp_path, fake, [ask("a")], timeout_s=1.0 if failure == "slow" else 30)
    assert answers[0].texts == ("a/0",)
    assert ledger.counts().calls == 2
    assert ledger.counts().retries == 1


def test_a_server_slower_than_the_timeout_is_given_more_time(tmp_path):
    fake = FakeServer(delay_s=0.5)
    answers, ledger = go(tmp_path, fake, [ask("a")], timeout_s=0.2)  # 0.2, 0.4, 0.8 seconds
    assert answers[0].texts == ("a/0",)
    assert (len(fake.bodies), ledger.counts().retries) == (3, 2)


def test_no_server_there(tmp_path):
    ledger = ResponseCache(tmp_path / "l", "r")
    cfg = LLMConfig(base_url="http://127.0.0.1:9/v1", retries=1, retry_backoff_s=0.01)
    client = LLMClient(cfg, ledger)
    with pytest.raises(UserError, match=r"no connection to http://127\.0\.0\.1:9/v1"):
        client.complete_sync([ask("a")])
    with pytest.raises(UserError, match=r"llm\.base_url.*is the server running"):
        client.check_sync()
    client.close_sync()
    assert ledger.counts().calls == 0


@pytest.mark.parametrize("url", ["host/v1", "ftp://host", "http://", "http://h:notaport/v1", "http://u:secret@h/v1"])
def test_urls_that_are_none(tmp_path, url):
    with pytest.raises(UserError, match=r"llm\.base_url") as caught:
        LLMClient(LLMConfig(base_url=url), ResponseCache(tmp_path / "l", "r"), identity="m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("max_calls", [0, 1, 10])
def test_the_budget_is_met_exactly(tmp_path, max_calls):
    fake = FakeServer(delay_s=0.01)
    requests = [ask(f"q{i}") for i in range(40)]
    with pytest.raises(BudgetReachedError, match=f"llm.max_calls={max_calls}"):
        go(tmp_path, fake, requests, max_calls=max_calls, concurrency=16)
    assert len(fake.bodies) == max_calls
    with pytest.raises(BudgetReachedError):
        go(tmp_path, fake, requests, max_calls=max_calls)
    assert len(fake.bodies) == max_calls
    answers, ledger = go(tmp_path, fake, requests, max_calls=40)  # a raised budget goes on where it stopped
    assert sum(a.cached for a in answers) == max_calls
    assert ledger.counts().calls == len(fake.bodies) == 40


def test_a_budget_that_is_just_enough_is_no_error(tmp_path):
    _, ledger = go(tmp_path, FakeServer(delay_s=0.002), [ask(f"q{i}") for i in range(40)], max_calls=40)
    assert ledger.counts().calls == 40


def test_retries_of_what_was_not_billed_cost_no_budget(tmp_path):
    fake = FakeServer(lambda number, body: error(500) if number % 2 == 0 else None)
    answers, _ = go(tmp_path, fake, [ask(f"q{i}") for i in range(10)], max_calls=10, concurrency=1)
    assert all(a.texts for a in answers)


def test_the_cost_is_never_exceeded(tmp_path):
    fake = FakeServer(delay_s=0.005)
    with pytest.raises(BudgetReachedError, match=r"llm\.max_cost"):
        go(
            tmp_path,
            fake,
            [ask(f"q{i}") for i in range(60)],
            max_cost=0.0005,
            price_prompt=1.0,
            price_completion=2.0,
            concurrency=16,
        )
    _, ledger = go(tmp_path, FakeServer(), [])
    spent = ledger.counts()
    assert spent.cost == pytest.approx((7 * spent.calls + 2 * 2 * spent.calls) / 1e6)
    assert 0.0005 - 40e-6 < spent.cost <= 0.0005


def test_two_clients_share_one_budget(tmp_path):
    fake = FakeServer(delay_s=0.003)
    ledger = ResponseCache(tmp_path / "l", "r", max_calls=25)

    async def inner():
        async with serve(fake):
            cfg = LLMConfig(base_url=fake.url, model="m", concurrency=8)
            clients = [LLMClient(cfg, ledger, identity="m") for _ in range(3)]
            batches = [[ask(f"{c}-{i}") for i in range(20)] for c in range(3)]
            results = await asyncio.gather(
                *(c.complete(b) for c, b in zip(clients, batches, strict=True)), return_exceptions=True
            )
            for client in clients:
                await client.close()
            return results

    results = asyncio.run(inner())
    assert any(isinstance(r, BudgetReachedError) for r in results)
    assert len(fake.bodies) == ledger.counts().calls == 25


def test_check(tmp_path):
    async def inner(fake):
        async with serve(fake):
            client = LLMClient(LLMConfig(base_url=fake.url, model="m"), ResponseCache(tmp_path / "l", "r"))
            try:
                await client.check()
            finally:
                await client.close()
        return len(fake.bodies)

    assert asyncio.run(inner(FakeServer())) == 0
    assert asyncio.run(inner(FakeServer(models=None))) == 1
    with pytest.raises(UserError, match=r"llm\.model='m'"):
        asyncio.run(inner(FakeServer(lambda number, body: error(404), models=["other"])))


def test_answers_survive_sigkill(tmp_path):
    """A process is killed in the middle of labelling: what the server had answered is not paid again."""
    program = f"""
import sys
from pathlib import Path
from hydra_ray.config import LLMConfig
from hydra_ray.llm import LLMClient, Request, ResponseCache
cfg = LLMConfig(base_url=sys.argv[1], model="m", concurrency=8)
client = LLMClient(cfg, ResponseCache(Path({str(tmp_path / "ledger.sqlite")!r}), "run"), identity="m")
client.complete_sync([Request(({{"role": "user", "content": f"q{{i}}"}},), max_tokens=4) for i in range(2000)])
"""

    async def inner():
        fake = FakeServer(delay_s=0.01)
        async with serve(fake):
            process = subprocess.Popen([sys.executable, "-c", program, fake.url])
            while len(fake.bodies) < 120:
                await asyncio.sleep(0.005)
                assert process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return len(fake.bodies)

    asked = asyncio.run(inner())
    ledger = ResponseCache(tmp_path / "ledger.sqlite", "run")
    kept, lost = ledger.counts().calls, ledger.counts().lost
    assert asked - 16 <= kept <= asked
    assert kept + lost >= asked
    fake = FakeServer()
    answers, _ = go(tmp_path, fake, [ask(f"q{i}") for i in range(200)])
    assert [a.texts for a in answers] == [(f"q{i}/0",) for i in range(200)]
    assert len(fake.bodies) == 200 - kept


def test_interrupting_complete_keeps_what_came_in(tmp_path):
    fake = FakeServer(delay_s=0.02)
    ledger = ResponseCache(tmp_path / "l", "r")

    async def inner():
        async with serve(fake):
            client = LLMClient(LLMConfig(base_url=fake.url, model="m", concurrency=4), ledger, identity="m")
            task = asyncio.create_task(client.complete([ask(f"q{i}") for i in range(100)]))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.close()

    asyncio.run(inner())
    kept = sum(r is not None for r in ledger.get_many([]))
    assert kept == 0
    assert ledger.counts().calls == len(fake.bodies) < 60
    assert ledger.counts().lost == 0
