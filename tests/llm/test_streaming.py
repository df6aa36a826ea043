"""Streams of OpenAI-compatible servers, over real HTTP on this machine."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from hydra_ray.inference.types import LLMDownError, RefusedError
from hydra_ray.serve.clients.llm import LLMClientAdapter
from tests.llm.fake_server import FakeServer, completion, error
from tests.serve.clients.test_llm import with_server

ASKED = [{"role": "user", "content": "q"}]
PROMPT_BYTES = len(json.dumps(ASKED))


def chunk(content: str, usage: dict[str, int] | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}}], "usage": usage}


def sse(*trees: Any, end: str = "data: [DONE]\n\n") -> web.Response:
    lines = [": comment\n\n", *(f"data: {json.dumps(tree)}\r\n\r\n" for tree in trees), end]
    return web.Response(text="".join(lines), content_type="text/event-stream")


def stream(fake: FakeServer, **parameters: Any) -> tuple[list[dict[str, Any]], int | Exception, int]:
    """The chunks, the tokens or the error, and the attempts."""
    taken: list[dict[str, Any]] = []

    async def use(samples: LLMClientAdapter) -> tuple[list[dict[str, Any]], int | Exception, int]:
        try:
            tokens = await samples.forward_stream(ASKED, parameters, time.time() + 10, taken.append)
        except (LLMDownError, RefusedError) as error:
            return taken, error, samples.counts.attempts
        return taken, tokens, samples.counts.attempts

    found: tuple[list[dict[str, Any]], int | Exception, int] = with_server(fake, use, retries=2)
    return found


def test_chunks_come_as_they_are_and_tokens_as_they_are_counted() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    trees = [chunk("a"), chunk("b"), {"choices": [], "usage": usage}]
    fake = FakeServer(lambda number, body: sse(*trees))
    assert stream(fake, stop=["x"]) == (trees, 8, 1)
    (body,) = fake.bodies
    assert (body["stream"], body["stream_options"], body["stop"]) == (True, {"include_usage": True}, ["x"])


def test_what_is_not_counted_is_feared() -> None:
    assert stream(FakeServer(lambda number, body: sse(chunk("abc"), chunk("\u00e9"), end="")))[1] == PROMPT_BYTES + 5


def test_a_caller_who_asks_for_several_answers_hears_that_there_is_one() -> None:
    words = "n must be 1 when using greedy sampling, got 2."

    def script(number: int, body: dict[str, Any]) -> web.StreamResponse:
        return error(400, words) if body.get("n", 1) > 1 and not body["temperature"] else sse(chunk("a"))

    fake = FakeServer(script)
    _, refused, attempts = stream(fake, n=2, temperature=0)
    assert (type(refused), attempts) == (RefusedError, 1)
    assert words in str(refused)
    stream(fake, n=2, temperature=1)  # nothing was learned from one caller's mistake
    assert [body["n"] for body in fake.bodies] == [2, 2]


def test_a_chunk_is_passed_on_before_the_next_is_made() -> None:
    async def go(number: int, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request_of[0])
        for content in "ab":
            await response.write(f"data: {json.dumps(chunk(content))}\n\n".encode())
            await goes_on[0].wait()
        await response.write_eof()
        return response

    class Streams(FakeServer):
        async def chat(self, request: web.Request) -> web.StreamResponse:
            request_of.append(request)
            return await super().chat(request)

    request_of: list[web.Request] = []
    goes_on: list[asyncio.Event] = []
    taken: list[str] = []

    async def use(samples: LLMClientAdapter) -> None:
        goes_on.append(asyncio.Event())
        first = asyncio.Event()

        def take(tree: dict[str, Any]) -> None:
            taken.append(tree["choices"][0]["delta"]["content"])
            first.set()

        streaming = asyncio.ensure_future(samples.forward_stream(ASKED, {}, time.time() + 10, take))
        await first.wait()
        assert taken == ["a"]
        goes_on[0].set()
        await streaming

    with_server(Streams(go), use)
    assert taken == ["a", "b"]


def test_a_server_that_does_not_stream_gives_its_whole_answer() -> None:
    taken, tokens, _ = stream(FakeServer(lambda number, body: completion(["whole"])))
    assert [tree["choices"][0]["message"]["content"] for tree in taken] == ["whole"]
    assert tokens == 9


def test_a_server_that_takes_no_stream_options_is_asked_without() -> None:
    def script(number: int, body: dict[str, Any]) -> Any:
        return error(400, "Unrecognized: stream_options") if "stream_options" in body else sse(chunk("a"))

    fake = FakeServer(script)
    assert stream(fake)[0] == [chunk("a")]
    assert len(fake.bodies) == 2


Script = Callable[[int, dict[str, Any]], Any]
BROKEN: list[Script] = [
    lambda number, body: sse({"error": {"message": "overloaded", "code": 502}}),
    lambda number, body: sse(),
    lambda number, body: sse(["no chunk"]),
    lambda number, body: sse({"choices": ["no choice"]}),
    lambda number, body: sse({"choices": 3}),
    lambda number, body: error(500),
]


@pytest.mark.parametrize("script", BROKEN)
def test_what_fails_before_the_first_chunk_is_tried_again(script: Script) -> None:
    taken, failure, attempts = stream(FakeServer(script))
    assert (taken, type(failure), attempts) == ([], LLMDownError, 3)
    fake = FakeServer(lambda number, body: sse(chunk("a")) if number else script(number, body))
    assert stream(fake)[0] == [chunk("a")]


def test_what_fails_after_it_is_not() -> None:
    broken = sse(chunk("a"), {"error": {"message": "overloaded", "code": 502}})
    taken, failure, attempts = stream(FakeServer(lambda number, body: broken))
    assert (taken, attempts) == ([chunk("a")], 1)
    assert str(failure) == "the language model does not answer: it broke its answer off"


def test_a_refused_stream_gets_the_servers_words() -> None:
    _, failure, attempts = stream(FakeServer(lambda number, body: error(400, "bad schema")), response_format={})
    assert isinstance(failure, RefusedError)
    assert "HTTP 400: bad schema" in str(failure)
    assert attempts == 1
