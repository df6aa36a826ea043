import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from tests.llm.asking import ask, go
from tests.llm.fake_server import FakeServer, completion, error, serve


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


def checked(tmp_path, fake):
    """How many calls a check makes."""

    async def inner():
        async with serve(fake):
            cfg = LLMConfig(base_url=fake.url, model="m", retries=2, retry_backoff_s=0.005)
            client = LLMClient(cfg, ResponseCache(tmp_path / "l", "r"))
            try:
                await client.check()
            finally:
                await client.close()
        return len(fake.bodies)

    return asyncio.run(inner())


def test_check(tmp_path):
    assert checked(tmp_path, FakeServer()) == 0
    assert checked(tmp_path, FakeServer(models=None)) == 1
    with pytest.raises(UserError, match=r"llm\.model='m'"):
        checked(tmp_path, FakeServer(lambda number, body: error(404), models=["other"]))


def test_a_key_that_may_not_list_models_may_chat(tmp_path):
    def forbidden(number):
        return error(403, "Missing scopes: api.model.read")

    assert checked(tmp_path, FakeServer(listing=forbidden)) == 1
    with pytest.raises(UserError, match=r"the key in environment variable .*revoked"):
        checked(tmp_path, FakeServer(lambda number, body: error(403, "revoked"), listing=forbidden))
    unknown = FakeServer(listing=lambda number: error(401, "who are you"))
    with pytest.raises(UserError, match=r"the key in environment variable .*who are you"):
        checked(tmp_path, unknown)
    assert (len(unknown.bodies), unknown.listed) == (0, 1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_at_the_start_is_asked_again(tmp_path, status):
    fake = FakeServer(listing=lambda number: error(status) if number < 2 else None)
    assert (checked(tmp_path, fake), fake.listed) == (0, 3)
    fake = FakeServer(listing=lambda number: error(status, "busy"))
    with pytest.raises(UserError, match=f"HTTP {status}: busy"):
        checked(tmp_path, fake)
    assert fake.listed == 3


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


def text_of(body):
    return body["messages"][-1]["content"]


def test_a_server_that_ignores_n_is_asked_one_by_one_from_then_on(tmp_path):
    fake = FakeServer(lambda number, body: completion([f"{text_of(body)}{body['seed']}"]))
    requests = [ask(t, 3, seed=5) for t in ("a", "b", "c")]
    answers, ledger = go(tmp_path, fake, requests, concurrency=1)
    assert [a.texts for a in answers] == [(f"{t}5", f"{t}6", f"{t}7") for t in "abc"]
    assert [body.get("n") for body in fake.bodies] == [3] + [None] * 8
    answers, ledger = go(tmp_path, FakeServer(), requests)  # of another process, which knows nothing of the server
    assert all(a.cached for a in answers)
    assert ledger.counts().calls == 9


@pytest.mark.parametrize("status", [400, 422, 500, 501])
def test_n_that_is_refused_without_a_name_is_found_out(tmp_path, status):
    fake = FakeServer(lambda number, body: error(status, "bad request") if "n" in body else completion([f"s{number}"]))
    answers, _ = go(tmp_path, fake, [ask("a", 3), ask("b", 3)], retries=0, concurrency=1)
    assert [a.texts for a in answers] == [("s1", "s2", "s3"), ("s4", "s5", "s6")]
    assert ["n" in body for body in fake.bodies] == [True] + [False] * 6


def test_a_prompt_that_is_refused_with_and_without_n_is_refused(tmp_path):
    fake = FakeServer(lambda number, body: error(400, "flagged") if text_of(body) == "bad" else None)
    answers, _ = go(tmp_path, fake, [ask("bad", 3), ask("b", 3)], concurrency=1)
    assert [(a.texts, a.error) for a in answers] == [((), "HTTP 400: flagged"), (("b/0", "b/1", "b/2"), None)]
    assert [body.get("n") for body in fake.bodies] == [3, None, 3]


def test_the_user_may_say_that_the_server_takes_n(tmp_path):
    fake = FakeServer(lambda number, body: completion(["x"]))
    go(tmp_path, fake, [ask("a", 2), ask("b", 2)], supports_n=True, concurrency=1)
    assert [body.get("n") for body in fake.bodies] == [2, None, 2, None]


def test_greedy_is_one_sample(tmp_path):
    fake = FakeServer()
    requests = [replace(ask("a"), n=8), ask("a"), replace(ask("b"), n=2)]
    answers, ledger = go(tmp_path, fake, requests)
    assert [a.texts for a in answers] == [("a/0",) * 8, ("a/0",), ("b/0",) * 2]
    assert [len(a.finish) for a in answers] == [8, 1, 2]
    assert not any("n" in body for body in fake.bodies)
    assert ledger.counts().calls == len(fake.bodies) == 2


@pytest.mark.parametrize("status", [403, 404, 451])
@pytest.mark.parametrize("at", [0, 4, 8])
def test_one_flagged_prompt_is_missing_with_the_servers_words(tmp_path, status, at):
    def script(number, body):
        return error(status, "flagged: harassment") if text_of(body) == f"q{at}" else None

    answers, ledger = go(tmp_path, FakeServer(script), [ask(f"q{i}") for i in range(9)], concurrency=2)
    assert [a.error for a in answers] == [f"HTTP {status}: flagged: harassment" if i == at else None for i in range(9)]
    assert [a.permanent for a in answers] == [i == at for i in range(9)]
    assert ledger.counts().calls in {8, 9}  # one more where nothing was answered after it


def test_a_key_that_is_revoked_in_the_middle_ends_the_run_and_refuses_no_prompt(tmp_path):
    fake = FakeServer(lambda number, body: error(403, "revoked") if number >= 5 else None)
    with pytest.raises(UserError, match=r"HTTP 403.*HYDRA_RAY_TEST_KEY.*revoked"):
        go(tmp_path, fake, [ask(f"q{i}") for i in range(200)], concurrency=2)
    assert len(fake.bodies) < 30
    with pytest.raises(UserError, match="revoked"):  # nor are a few prompts at the end of a batch
        go(tmp_path, FakeServer(lambda number, body: error(403, "revoked") if number >= 5 else None),
           [ask(f"p{i}") for i in range(8)])  # fmt: skip
    answers, _ = go(tmp_path, FakeServer(), [ask(f"q{i}") for i in range(5)])
    assert all(a.cached for a in answers)


@pytest.mark.parametrize("status", [200, 400, 403, 429])
def test_an_account_without_quota_stops_at_once(tmp_path, status):
    def script(number, body):
        tree = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
        return web.json_response(tree, status=status) if number >= 5 else None

    fake = FakeServer(script)
    with pytest.raises(UserError, match=r"exceeded your current quota.*check its plan and billing.*is kept"):
        go(tmp_path, fake, [ask(f"q{i}") for i in range(100)], concurrency=2)
    assert len(fake.bodies) <= 7
    _, ledger = go(tmp_path, FakeServer(), [ask(f"q{i}") for i in range(5)])
    assert ledger.counts().cached == 5
