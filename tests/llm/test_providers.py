"""The client before servers that behave as providers do: parameters, refusals, lengths, quotas, limits, usage."""

import asyncio
import json
import time
from dataclasses import replace

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.types import Request
from tests.llm.fake_server import FakeServer, completion, error, serve
from tests.llm.test_client import KEY, ask, go


def refusal(param, message, code="unsupported_parameter"):
    tree = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return web.json_response(tree, status=400)


def text_of(body):
    return body["messages"][-1]["content"]


def reasoning_model(number, body):
    """Takes neither max_tokens nor a temperature, as OpenAI's newer models."""
    if "max_tokens" in body:
        return refusal("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                       "'max_completion_tokens' instead.")  # fmt: skip
    if body.get("temperature", 1) != 1:
        return refusal("temperature", "Unsupported value: 'temperature' does not support 0 with this model. Only the "
                       "default (1) value is supported.", "unsupported_value")  # fmt: skip
    return None


def test_parameters_that_a_model_refuses_are_found_out_at_the_first_call(tmp_path):
    fake = FakeServer(reasoning_model)
    answers, ledger = go(tmp_path, fake, [ask(f"q{i}") for i in range(20)])
    assert [a.texts for a in answers] == [(f"q{i}/0",) for i in range(20)]
    assert len(fake.bodies) == 22
    assert all(body["max_completion_tokens"] == 4 for body in fake.bodies[2:])
    assert not any({"max_tokens", "temperature"} & set(body) for body in fake.bodies[2:])
    assert (ledger.counts().calls, ledger.counts().failed, ledger.counts().retries) == (20, 0, 0)


def test_samples_differ_where_seed_and_n_are_unknown(tmp_path):
    def script(number, body):
        for name in ("seed", "n"):
            if name in body:
                wrong = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
                return web.json_response({"detail": [wrong]}, status=422)
        return completion([f"s{number}"])

    fake = FakeServer(script)
    answers, _ = go(tmp_path, fake, [ask("a", 4, seed=3), ask("b", 4, seed=3)])
    assert all(len(set(answer.texts)) == 4 for answer in answers)
    assert len(fake.bodies) == 2 + 8
    again, _ = go(tmp_path, fake, [ask("a", 4, seed=3), ask("b", 4, seed=3)])
    assert [a.texts for a in again] == [a.texts for a in answers]
    assert len(fake.bodies) == 10


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


def test_what_the_config_adds_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_RAY_TEST_KEY", KEY)
    monkeypatch.setenv("MY_TEAM", "blue-team")
    fake = FakeServer()
    go(
        tmp_path, fake, [ask("a")], system_prompt="Be brief.", top_p=0.5, extra_body={"reasoning_effort": "low"},
        headers={"X-Team": "$MY_TEAM"}, query={"api-version": "1 b"}, auth_header="api-key",
        parameters={"max_tokens": "max_output_tokens", "temperature": None},
    )  # fmt: skip
    assert fake.bodies[0] == {
        "model": "m", "max_output_tokens": 4, "top_p": 0.5, "reasoning_effort": "low",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}],
    }  # fmt: skip
    assert fake.urls == ["/v1/chat/completions?api-version=1+b"]
    assert (fake.headers[0]["X-Team"], fake.headers[0]["api-key"], fake.keys) == ("blue-team", KEY, [""])


def test_header_values_are_cut_out_of_the_servers_messages(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", KEY)
    fake = FakeServer(lambda number, body: error(400, f"what is {KEY}?"))
    answers, _ = go(tmp_path, fake, [ask("a")], headers={"X-Token": "$MY_TOKEN"})
    assert answers[0].error == "HTTP 400: what is [key]?"


def test_system_messages_are_one(tmp_path):
    fake = FakeServer()
    messages = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"})
    go(tmp_path, fake, [Request(messages, max_tokens=4)], system_prompt="Be brief.")
    assert [m["content"] for m in fake.bodies[0]["messages"]] == ["Be brief.\n\nBe kind.", "a"]


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


def test_an_error_inside_a_200_costs_nothing(tmp_path):
    def script(number, body):
        if number < 2:
            return web.json_response({"error": {"message": "The upstream is overloaded", "code": 502}})
        return None

    answers, ledger = go(tmp_path, FakeServer(script), [ask("a")])
    assert answers[0].texts == ("a/0",)
    assert (ledger.counts().calls, ledger.counts().retries) == (1, 2)
    always = FakeServer(lambda number, body: script(0, body))
    answers, ledger = go(tmp_path, always, [ask("b")], retries=1)
    assert answers[0].error == "error 502: The upstream is overloaded"
    assert not answers[0].permanent
    assert ledger.counts().calls == 1
    picky = FakeServer(
        lambda number, body: (
            web.json_response({"error": {"message": "temperature is not supported", "code": 400}})
            if "temperature" in body
            else None
        )
    )
    answers, _ = go(tmp_path, picky, [ask("d")])
    assert (answers[0].texts, len(picky.bodies)) == (("d/0",), 2)
    flagged = FakeServer(lambda number, body: web.json_response({"error": {"message": "bad", "code": 400}}))
    answers, _ = go(tmp_path, flagged, [ask("c")])
    assert (answers[0].error, answers[0].permanent, len(flagged.bodies)) == ("error 400: bad", True, 1)


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


LONG = "This model's maximum context length is 9 tokens."


def fits(size):
    return lambda number, body: error(400, LONG) if len(text_of(body)) > size else None


def long_request(n=1):
    shorter = tuple(({"role": "user", "content": "x" * size},) for size in (30, 10))
    return replace(ask("x" * 50, n), fallbacks=shorter)


def test_a_prompt_that_is_too_long_is_asked_in_a_shorter_version_and_marked(tmp_path):
    fake = FakeServer(fits(20))
    answers, ledger = go(tmp_path, fake, [long_request(), ask("b")])
    assert [(a.texts, a.degraded, a.error) for a in answers] == [
        (("x" * 10 + "/0",), True, None), (("b/0",), False, None),
    ]  # fmt: skip
    assert [len(text_of(body)) for body in fake.bodies[:3]] == [50, 30, 10]
    assert (ledger.counts().calls, ledger.counts().failed) == (2, 0)
    again, _ = go(tmp_path, FakeServer(), [replace(long_request(), fallbacks=())])  # kept under the prompt asked first
    assert (again[0].cached, again[0].degraded, again[0].texts) == (True, True, answers[0].texts)


def test_all_samples_of_a_request_are_shortened_alike(tmp_path):
    fake = FakeServer(fits(20))
    answers, _ = go(tmp_path, fake, [long_request(3)], supports_n=False, concurrency=1)
    assert (len(answers[0].texts), answers[0].degraded) == (3, True)
    assert [len(text_of(body)) for body in fake.bodies] == [50, 30, 10, 10, 10]


def test_where_the_shortest_version_is_too_long_the_prompt_is_refused(tmp_path):
    answers, ledger = go(tmp_path, FakeServer(fits(5)), [long_request(), ask("b")])
    assert answers[0].error == f"HTTP 400: {LONG} (and so are 2 shorter versions)"
    assert answers[0].permanent
    assert ledger.counts().failed == 1


def usage(**fields):
    def script(number, body):
        return web.json_response({"choices": [{"message": {"content": "x"}}], "usage": fields or None})

    return script


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [({"input_tokens": 9, "output_tokens": 3}, (9, 3)), ({}, (17, 4)), ({"prompt_tokens": 9}, (9, 4)),
     ({"prompt_tokens": -1, "completion_tokens": "many"}, (17, 4))],
)  # fmt: skip
def test_the_cost_counts_what_it_can_and_the_most_for_the_rest(tmp_path, fields, tokens):
    answers, ledger = go(tmp_path, FakeServer(usage(**fields)), [ask("a")], price_prompt=1.0, price_completion=10.0)
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == tokens
    assert ledger.counts().cost == pytest.approx((tokens[0] + 10 * tokens[1]) / 1e6)


def test_a_budget_cannot_be_passed_by_a_server_that_counts_nothing(tmp_path):
    fake = FakeServer(usage(prompt_tokens=None, completion_tokens=0.0))
    most = (18 * 1.0 + 4 * 10.0) / 1e6
    with pytest.raises(BudgetReachedError):
        go(tmp_path, fake, [ask(f"q{i}") for i in range(9)], price_prompt=1.0, price_completion=10.0, max_cost=3 * most)
    assert 3 <= len(fake.bodies) <= 9


def test_choices_that_stay_away_are_an_empty_answer_not_a_lost_one(tmp_path):
    fake = FakeServer(lambda number, body: web.json_response({"choices": []}))
    answers, ledger = go(tmp_path, fake, [ask("a")], retries=2)
    assert (answers[0].texts, answers[0].finish, answers[0].error) == (("",), ("empty",), None)
    assert len(fake.bodies) == ledger.counts().calls == 3
    again, _ = go(tmp_path, FakeServer(), [ask("a")])
    assert (again[0].cached, again[0].finish) == (True, ("empty",))


def test_half_a_character_never_enters_the_cache_and_one_that_is_there_is_read(tmp_path):
    fake = FakeServer(lambda number, body: web.Response(text='{"choices": [{"message": {"content": "a \\ud83d"}}]}'))
    answers, _ = go(tmp_path, fake, [ask("a")])
    assert answers[0].texts == ("a \ufffd",)
    ledger = ResponseCache(tmp_path / "old.sqlite", "run")
    (one,) = ledger.exchange([], [0.0])
    ledger.exchange(
        [CallOutcome(one, "k", {"texts": ["a \ud83d"], "prompt_tokens": 1, "completion_tokens": 1}, calls=1)]
    )
    assert ledger.get_many(["k"])[0]["texts"] == ["a \ufffd"]


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


def test_a_server_that_asks_to_come_back_tomorrow_ends_the_run(tmp_path):
    fake = FakeServer(lambda number, body: error(429, "daily limit", **{"Retry-After": "36000"}))
    with pytest.raises(UserError, match=r"daily limit: it asks to come back in 600 minutes.*is kept"):
        go(tmp_path, fake, [ask("a")])
    assert len(fake.bodies) == 1


def test_a_stop_does_not_wait_for_a_pause(tmp_path):
    def script(number, body):
        if number == 0:
            return None
        return error(429, **{"Retry-After": "50"}) if number == 1 else error(401)

    async def later(number, body):
        if number == 2:
            await asyncio.sleep(0.2)
        return script(number, body)

    began = time.monotonic()
    with pytest.raises(UserError, match="HTTP 401"):
        go(tmp_path, FakeServer(later), [ask(f"q{i}") for i in range(9)], concurrency=2)
    assert time.monotonic() - began < 5


def test_a_body_that_holds_the_request_is_json(tmp_path):
    fake = FakeServer()
    go(tmp_path, fake, [ask("half \ud83d")])
    assert json.loads(json.dumps(fake.bodies[0]))["messages"][0]["content"] == "half \ud83d"
