"""Answers as events."""

import threading
from collections.abc import Iterator

import openai
import pytest

from hydra_ray.inference.types import (
    RefusedError,
)
from tests.serve.http.live import Live

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_a_stream_without_usage_ends_with_done(live, http):
    body = {"model": "made-up", "messages": QUESTION, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"choices":[]' not in answer.text


def test_the_streaming_helper_of_the_client(client):
    with client.chat.completions.stream(model="made-up", messages=QUESTION) as stream:
        assert stream.get_final_completion().choices[0].message.content == "nobody: which tag? /0"


def test_a_stream_begins_at_once_and_an_error_after_that_is_an_event(live, client, http):
    live.service.gate = threading.Event()
    body = {"model": "made-up", "messages": QUESTION, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        parts = answer.iter_text()
        assert next(parts) == ": keep-alive\n\n"
        live.service.gate.set()
        assert "".join(parts).endswith("data: [DONE]\n\n")
    live.service.gate = threading.Event()
    with pytest.raises(openai.APIError, match="too long") as raised:
        for _ in late(live, client):
            pass
    assert not isinstance(raised.value, openai.APIStatusError)
    assert raised.value.body["code"] == "refused_by_model"


def late(live: Live, client: openai.OpenAI) -> Iterator[object]:
    """A stream whose error comes after it has begun."""
    chunks = client.chat.completions.create(model="made-up", messages=QUESTION, stream=True)
    live.service.late_error = RefusedError("too long")
    live.service.gate.set()
    yield from chunks
