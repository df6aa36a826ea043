"""Budgets and rate limits that clients share through the ledger."""

import asyncio
import time

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import BudgetReachedError
from hydra_ray.llm.caller import Caller, StoppedError
from hydra_ray.llm.calls import CallGroup, LLMCall
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.http import ChatHttpClient
from hydra_ray.llm.ledger_batcher import LedgerBatcher
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.response_cache_ports import LocalPort
from tests.llm.asking import ask, go
from tests.llm.fake_server import FakeServer, completion, error, serve


def usage(**fields):
    def script(number, body):
        return web.json_response({"choices": [{"message": {"content": "x"}}], "usage": fields or None})

    return script


def test_a_budget_cannot_be_passed_by_a_server_that_counts_nothing(tmp_path):
    fake = FakeServer(usage(prompt_tokens=None, completion_tokens=0.0))
    most = (18 * 1.0 + 4 * 10.0) / 1e6
    with pytest.raises(BudgetReachedError):
        go(tmp_path, fake, [ask(f"q{i}") for i in range(9)], price_prompt=1.0, price_completion=10.0, max_cost=3 * most)
    assert 3 <= len(fake.bodies) <= 9


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_rate_limit_slows_a_run_and_loses_no_answer(tmp_path, status):
    """Two calls in 0.1 s are answered, all others refused; the retries allowed are none."""
    times = []

    def script(number, body):
        now = time.monotonic()
        if len([t for t in times if now - t < 0.1]) >= 2:
            return error(status, "slow down", **{"Retry-After": "0.05"})
        times.append(now)
        return None

    answers, ledger = go(tmp_path, FakeServer(script), [ask(f"q{i}") for i in range(12)], retries=0, concurrency=8)
    assert [a.texts for a in answers] == [(f"q{i}/0",) for i in range(12)]
    assert (ledger.counts().calls, ledger.counts().failed) == (12, 0)


def test_no_call_goes_out_before_the_pause_that_one_was_told_ends(tmp_path):
    arrivals = []

    def script(number, body):
        arrivals.append(time.monotonic())
        return error(429, "slow down", **{"Retry-After": "0.3"}) if number == 4 else None

    answers, _ = go(tmp_path, FakeServer(script), [ask(f"q{i}") for i in range(20)], concurrency=1)
    assert all(a.texts for a in answers)
    assert arrivals[5] - arrivals[4] >= 0.3


def test_two_clients_share_the_limit_of_the_config(tmp_path):
    """1200 a minute is 20 at once, then 20 a second."""
    ledger = ResponseCache(tmp_path / "l", "r")
    fake = FakeServer()

    async def inner():
        async with serve(fake):
            cfg = LLMConfig(base_url=fake.url, model="m", concurrency=8, requests_per_minute=1200)
            clients = [LLMClient(cfg, ledger, identity="m") for _ in range(2)]
            began = time.monotonic()
            batches = [[ask(f"{c}-{i}") for i in range(15)] for c in range(2)]
            await asyncio.gather(*(client.complete(batch) for client, batch in zip(clients, batches, strict=True)))
            took = time.monotonic() - began
            for client in clients:
                await client.close()
            return took

    assert 0.4 < asyncio.run(inner()) < 3
    assert len(fake.bodies) == 30


def test_an_allowance_that_the_headers_state_is_not_overdrawn(tmp_path):
    """A server that answers four calls in half a second and says so; more than that would be refused."""
    answered = []

    def script(number, body):
        now = time.monotonic()
        recent = [t for t in answered if now - t < 0.5]
        if len(recent) >= 4:
            return error(500, "refused")
        answered.append(now)
        left = 3 - len(recent)
        reset = 0.5 if not recent else recent[0] + 0.5 - now
        response = completion(["x"])
        response.headers.update({
            "x-ratelimit-limit-requests": "4", "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": f"{1000 * max(reset, 0.5):.0f}ms",
        })  # fmt: skip
        return response

    answers, _ = go(tmp_path, FakeServer(script), [ask(f"q{i}") for i in range(9)], concurrency=8)
    assert all(a.texts for a in answers)


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


class FailingPort(LocalPort):
    """A ledger whose next exchanges fail; heard: before, or after they have happened."""

    failures = 0
    heard = False

    async def exchange(self, settled, wanted, done, tokens):
        if self.failures:
            self.failures -= 1
            if self.heard:
                await super().exchange(settled, wanted, done, tokens)
            raise OSError("lost")
        return await super().exchange(settled, wanted, done, tokens)


def notes(granted):
    record = {"texts": ["a"], "prompt_tokens": 5, "completion_tokens": 2}
    return [CallOutcome(number, f"k{number}", record, calls=1) for number in granted]


@pytest.mark.parametrize("heard", [False, True])
def test_notes_whose_exchange_failed_are_sent_again_and_counted_once(tmp_path, heard):
    ledger = ResponseCache(tmp_path / "l", "r")
    port = FailingPort(ledger)
    port.heard = heard

    async def inner():
        books = LedgerBatcher(port)
        first, second = notes([await books.reserve(0.0), await books.reserve(0.0)])
        port.failures = 1
        books.settle(first)
        while port.failures:
            await asyncio.sleep(0)
        books.settle(second)
        books.add_done(2)
        await books.flush()

    asyncio.run(inner())
    assert (ledger.counts().calls, ledger.done()) == (2, 2)
    assert all(ledger.get_many([note.key for note in notes([1, 2])]))


def test_a_ledger_that_goes_on_failing_is_told_and_no_note_is_lost(tmp_path):
    ledger = ResponseCache(tmp_path / "l", "r")
    port = FailingPort(ledger)

    async def inner():
        books = LedgerBatcher(port)
        (note,) = notes([await books.reserve(0.0)])
        port.failures = 3
        books.settle(note)
        with pytest.raises(OSError, match="lost"):
            await books.flush()
        with pytest.raises(OSError, match="lost"):
            await books.reserve(0.0)
        with pytest.raises(OSError, match="lost"):
            await books.flush()
        await books.flush()

    asyncio.run(inner())
    assert ledger.counts().calls == 1


class PausingPort(LocalPort):
    """A ledger that calls `granted` when it has granted a reservation, before the one who waits for it goes on."""

    def granted(self):
        """Nothing."""

    async def exchange(self, settled, wanted, done, tokens):
        granted = await super().exchange(settled, wanted, done, tokens)
        if wanted:
            asyncio.get_running_loop().call_soon(self.granted)
        return granted


@pytest.mark.parametrize("end", ["stop", "cancel"])
def test_what_is_granted_to_a_call_that_ends_at_that_moment_is_settled_as_never_sent(tmp_path, end):
    ledger = ResponseCache(tmp_path / "l", "r", max_calls=1)
    ledger.limits.configure(1, None)
    cfg = LLMConfig(model="m")

    async def inner():
        port = PausingPort(ledger)
        books = LedgerBatcher(port)
        caller = Caller(cfg, ChatHttpClient(cfg, "http://127.0.0.1:9", 1), books, "m")
        stop = asyncio.Event()
        call = asyncio.ensure_future(caller.record(LLMCall(CallGroup(ask("q")), 0, 1), stop))
        port.granted = stop.set if end == "stop" else call.cancel
        with pytest.raises(StoppedError if end == "stop" else asyncio.CancelledError):
            await call
        await asyncio.sleep(0)
        await books.flush()

    asyncio.run(inner())
    assert ledger.used().calls == 0
    assert ledger.exchange([], [0.0]) > [0]  # neither the budget nor the rate limit is used up
