"""One call until it is answered or given up: retries, longer timeouts, shorter prompts, what it costs."""

import asyncio
import time
from dataclasses import replace

import pytest
from aiohttp import web

from hydra_ray.errors import UserError
from tests.llm.asking import ask, go
from tests.llm.fake_server import FakeServer, completion, error


def text_of(body):
    return body["messages"][-1]["content"]


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


def test_choices_that_stay_away_are_an_empty_answer_not_a_lost_one(tmp_path):
    fake = FakeServer(lambda number, body: web.json_response({"choices": []}))
    answers, ledger = go(tmp_path, fake, [ask("a")], retries=2)
    assert (answers[0].texts, answers[0].finish, answers[0].error) == (("",), ("empty",), None)
    assert len(fake.bodies) == ledger.counts().calls == 3
    again, _ = go(tmp_path, FakeServer(), [ask("a")])
    assert (again[0].cached, again[0].finish) == (True, ("empty",))


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


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_is_retried(tmp_path, status):
    fake = FakeServer(lambda number, body: error(status) if number < 2 else None)
    answers, ledger = go(tmp_path, fake, [ask("a")])
    assert answers[0].texts == ("a/0",)
    assert len(fake.bodies) == 3
    assert (ledger.counts().calls, ledger.counts().retries) == (1, 2)


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
