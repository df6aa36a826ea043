"""Requests to the plain model over real HTTP, passed on as they came."""

import time
from typing import Any

import pytest
from aiohttp import web

from hydra_ray.inference.types import RefusedError
from hydra_ray.serve.clients.llm import LLMClientAdapter
from tests.llm.fake_server import FakeServer, completion, error
from tests.serve.clients.test_llm import ask, with_server


def test_a_whole_request_is_forwarded_and_its_answer_comes_back_as_it_is() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    def script(number: int, body: dict[str, Any]) -> Any:
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                         "'max_completion_tokens' instead.")  # fmt: skip
        choice = {"index": 0, "finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}
        usage = {"prompt_tokens": 5, "completion_tokens": 3}
        return web.json_response({"id": "x", "choices": [choice], "usage": usage})

    async def use(samples: LLMClientAdapter) -> Any:
        tools = [{"type": "function", "function": {"name": "f"}}]
        asked = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
        tree, tokens = await samples.forward(asked, {"tools": tools, "max_tokens": 9}, time.time() + 10)
        return tree["choices"][0]["message"]["tool_calls"], tokens, samples.counts.calls

    fake = FakeServer(script)
    assert with_server(fake, use, model="renames-max-tokens") == ([call], 8, 1)
    assert fake.bodies[-1]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    assert fake.bodies[-1]["max_completion_tokens"] == 9


def test_what_a_forwarding_server_does_not_count_is_feared() -> None:
    """Else a key's limit of tokens would not hold for the plain model."""

    def script(number: int, body: dict[str, Any]) -> Any:
        return web.json_response({"choices": [{"index": 0, "message": {"content": "ten bytes!"}}], "usage": None})

    async def use(samples: LLMClientAdapter) -> int:
        return (await samples.forward([{"role": "user", "content": "q"}], {}, time.time() + 10))[1]

    asked = len('[{"role": "user", "content": "q"}]')
    assert with_server(FakeServer(script), use) == asked + 10


def test_a_forwarded_request_that_is_refused_gets_the_servers_words() -> None:
    async def use(samples: LLMClientAdapter) -> None:
        with pytest.raises(RefusedError, match="HTTP 400: bad schema"):
            await samples.forward([{"role": "user", "content": "q"}], {"response_format": {}}, time.time() + 10)

    with_server(FakeServer(lambda number, body: error(400, "bad schema")), use)


def test_a_forwarded_number_of_answers_is_never_dropped() -> None:
    async def use(samples: LLMClientAdapter) -> None:
        await ask(samples, 2)  # teaches that it gives one answer a call
        with pytest.raises(RefusedError, match="HTTP 400: Unsupported parameter: n"):
            await samples.forward([{"role": "user", "content": "q"}], {"n": 2}, time.time() + 10)

    def script(number: int, body: dict[str, Any]) -> Any:
        return error(400, "Unsupported parameter: n") if "n" in body else completion(["a"])

    with_server(FakeServer(script), use)
