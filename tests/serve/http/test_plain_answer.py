"""The plain model, `NAME:plain`: the LLM as it is, through the real `openai` package and as raw events."""

import json
import threading

import httpx
import pytest

from hydra_ray.inference.types import LLMDownError
from hydra_ray.serve.http.plain_answer import PlainStream

QUESTION = [{"role": "user", "content": "which tag?"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}


def test_the_plain_model_takes_all_that_the_llm_takes(live, client):
    given = {"tools": TOOLS, "tool_choice": "auto", "response_format": SCHEMA, "logprobs": True, "top_logprobs": 2}
    given |= {"stop": ["."], "top_p": 0.5, "n": 2, "temperature": 0.0, "max_completion_tokens": 7, "seed": 1}
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
        {"role": "tool", "tool_call_id": "1", "content": "7"},
    ]
    answer = client.chat.completions.create(model="made-up:plain", messages=messages, user="ann", **given)
    assert live.service.forwarded[-1] == (messages, given)
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.tool_calls[0].function.name) == ("tool_calls", "f")
    assert choice.logprobs.content[0].logprob == -0.5
    assert (answer.id, answer.created, answer.model) == ("theirs", 5, "made-up:plain")
    assert answer.usage.total_tokens == 6
    assert answer.hydra["plain"] is True


def test_the_plain_model_streams(client):
    asked = {"model": "made-up:plain", "messages": QUESTION}
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == "said: which tag?"
    assert chunks[-1].usage.total_tokens == 6
    with client.chat.completions.stream(**asked, tools=TOOLS) as streamed:
        message = streamed.get_final_completion().choices[0].message
    assert message.tool_calls[0].function.name == "f"


def plain_lines(live, **more):
    """The data lines of a plain stream, as they come."""
    asked = {"model": "made-up:plain", "messages": QUESTION, "stream": True, **more}
    with httpx.stream("POST", f"{live.url}/v1/chat/completions", json=asked, timeout=10) as answer:
        yield from (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))


def test_the_plain_models_stream_is_the_llms_own(live):
    live.service.gate = threading.Event()
    lines = plain_lines(live)
    first = json.loads(next(lines))  # while the rest is not made yet
    live.service.gate.set()
    second, end = json.loads(next(lines)), next(lines)
    assert [chunk["choices"][0]["delta"]["content"] for chunk in (first, second)] == ["said: ", "which tag?"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in (first, second)] == [None, "stop"]
    assert {(chunk["id"], chunk["model"], "usage" in chunk) for chunk in (first, second)} == {
        ("theirs", "made-up:plain", False)
    }
    assert ("hydra" in first, "hydra" in second, end) == (True, False, "[DONE]")


def test_a_plain_stream_that_breaks_off_ends_in_an_error(live):
    live.service.late_error = LLMDownError("it broke its answer off")
    first, last = map(json.loads, plain_lines(live))
    assert first["choices"][0]["delta"]["content"] == "said: "
    assert last["error"]["code"] == "llm_down"
    assert "broke its answer off" in last["error"]["message"]


def test_a_whole_answer_of_odd_shape_is_streamed_as_far_as_it_can_be_read():
    written = []
    odd = [{"message": "red"}, {"message": {"content": "blue", "tool_calls": 3}}, {"message": {"tool_calls": ["f"]}}]
    PlainStream("m", "r", True).write({"choices": odd}, written.append)
    chunks = [json.loads(event.removeprefix("data: ")) for event in written]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[1::3]] == [None, "blue", None]


@pytest.mark.parametrize("streamed", [False, True])
def test_what_no_client_can_read_is_replaced(live, monkeypatch, streamed):
    async def forward(messages, parameters, deadline):
        message = {"role": "assistant", "content": "half \ud83d, whole \U0001f600"}
        logprobs = {"content": [{"token": "\ud83d", "logprob": float("nan"), "top_logprobs": [float("-inf")]}]}
        return {"choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}]}, 6

    monkeypatch.setattr(live.service, "forward", forward)
    if streamed:  # the whole answer at once, since it asks for tools
        tree = list(map(json.loads, list(plain_lines(live, tools=TOOLS))[:-1]))[1]
    else:
        asked = {"model": "made-up:plain", "messages": QUESTION}
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=asked, timeout=10)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        tree = answer.json()
    (choice,) = tree["choices"]
    assert choice["delta" if streamed else "message"]["content"] == "half \ufffd, whole \U0001f600"
    assert choice["logprobs"]["content"] == [{"token": "\ufffd", "logprob": None, "top_logprobs": [None]}]
