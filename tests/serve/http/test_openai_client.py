"""The real `openai` package against the real server: nothing about it is changed but the address."""

import asyncio
import threading
from collections.abc import Iterator

import httpx
import openai
import pytest

from hydra_ray.inference.types import (
    DeadlineError,
    LLMDownError,
    OverloadedError,
    RefusedError,
    StageDownError,
    UserKey,
)
from hydra_ray.serve.schemas import NewItem
from tests.serve.http.live import KEYS, TWO_TENANTS, Live, serve, settings, until

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_answers_are_the_users_own(live, client):
    live.service.histories[UserKey("acme", "ann").stored] = {"i1": NewItem(item_id="i1", text="t")}
    answer = client.chat.completions.create(model="made-up", messages=QUESTION, user="ann")
    assert [choice.message.content for choice in answer.choices] == ["i1: which tag? /0"]
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", "made-up", "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert answer.hydra["degraded"] == []
    assert answer.hydra["versions"]["run"] == "made-up"


def test_an_answer_says_what_it_lacks(client):
    answer = client.chat.completions.create(model="made-up", messages=QUESTION, user="stranger")
    assert [degraded["reason"] for degraded in answer.hydra["degraded"]] == ["user_unknown"]


def test_what_openai_calls_by_a_name_means_the_same_here(live, client):
    answer = client.chat.completions.create(
        model="made-up",
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answered"},
            {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "text", "text": "line"}]},
        ],
        n=3,
        temperature=0.3,
        max_completion_tokens=9,
        seed=5,
        top_p=1,
        stop=None,
        response_format={"type": "text"},
        metadata={"a": "b"},
    )
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [
        (i, f"nobody: second\nline /{i}") for i in range(3)
    ]
    user, ask, _ = live.service.requests[-1]
    assert user is None
    assert (ask.n, ask.temperature, ask.max_tokens, ask.seed) == (3, 0.3, 9, 5)
    assert [(message["role"], message["content"]) for message in ask.before] == [
        ("system", "be brief"),
        ("user", "first"),
        ("assistant", "answered"),
    ]


def test_an_answer_that_max_tokens_ended_says_so(client):
    asked = {"model": "made-up", "messages": QUESTION, "n": 2, "max_tokens": 1}
    answer = client.chat.completions.create(**asked)
    assert [choice.finish_reason for choice in answer.choices] == ["length", "stop"]
    chunks = client.chat.completions.create(**asked, stream=True)
    ended = [choice for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert [(choice.index, choice.finish_reason) for choice in ended] == [(0, "length"), (1, "stop")]


def test_streaming_gives_the_same_answers(client):
    chunks = list(
        client.chat.completions.create(
            model="made-up", messages=QUESTION, n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    texts: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == {0: "nobody: which tag? /0", 1: "nobody: which tag? /1"}
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices].count("stop") == 2
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage.total_tokens == 11
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 6


def test_a_stream_without_usage_ends_with_done(live, http):
    body = {"model": "made-up", "messages": QUESTION, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"choices":[]' not in answer.text


def test_the_streaming_helper_of_the_client(client):
    with client.chat.completions.stream(model="made-up", messages=QUESTION) as stream:
        assert stream.get_final_completion().choices[0].message.content == "nobody: which tag? /0"


def test_asynchronous_client(live):
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="any") as made:
            answer = await made.chat.completions.create(model="made-up", messages=QUESTION)
            return answer.choices[0].message.content

    assert asyncio.run(ask()) == "nobody: which tag? /0"


def test_models(client):
    assert [model.id for model in client.models.list()] == ["made-up", "made-up:plain"]
    model = client.models.retrieve("made-up")
    labels = ["ember", "dune"]
    assert model.hydra == {"run": "made-up", "task": "synthetic_tagging", "labels": labels, "plain": False}
    assert model.created == 1_700_000_000
    assert client.models.retrieve("made-up:plain").hydra["plain"] is True
    assert client.models.retrieve("made-up@ann").id == "made-up@ann"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("gpt")
    assert raised.value.code == "model_not_found"


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError, match="use 'made-up'") as raised:
        client.chat.completions.create(model="gpt", messages=QUESTION)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("logprobs", True),
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}),
        ("tool_choice", "required"),
        ("top_logprobs", 3),
        ("stop", 5),
        ("top_p", 1.5),
        ("frequency_penalty", 3),
        ("n", 0),
        ("n", 129),
        ("temperature", 2.5),
        ("max_tokens", 0),
        ("user", ""),
        ("user", "a\nb"),
        ("user", "x" * 257),
        ("user", ".."),
    ],
)
def test_a_field_that_cannot_be_honoured_is_named(client, field, value):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="made-up", messages=QUESTION, **{field: value})
    assert raised.value.param == field
    assert raised.value.type == "invalid_request_error"


@pytest.mark.parametrize("field", ["tools", "response_format", "logprobs"])
def test_what_contradicts_selection_says_why_and_what_to_ask(client, field):
    value = {"tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "logprobs": True}[field]
    with pytest.raises(openai.BadRequestError, match=r"the user's own past answers.*:plain") as raised:
        client.chat.completions.create(model="made-up", messages=QUESTION, **{field: value})
    assert raised.value.code == "unsupported_parameter"


def test_what_only_changes_the_samples_goes_to_the_model(live, client):
    given = {"stop": ["."], "top_p": 0.5, "frequency_penalty": 1, "presence_penalty": -1.0, "logit_bias": {"5": 1.0}}
    client.chat.completions.create(model="made-up", messages=QUESTION, **given)
    assert live.service.requests[-1][1].more == given
    client.chat.completions.create(model="made-up", messages=QUESTION, stop="\n", top_p=1, presence_penalty=0)
    assert live.service.requests[-1][1].more == {"stop": "\n"}


def test_the_user_may_stand_in_the_models_name_or_in_safety_identifier(live, client):
    def asked(model: str = "made-up", **more: str) -> str | None:
        client.chat.completions.create(model=model, messages=QUESTION, **more)
        user = live.service.requests[-1][0]
        return user and user.user_id

    assert asked("made-up@ann") == "ann"
    assert asked("made-up@a@b.org") == "a@b.org"
    assert asked("made-up@bob:plain") == "bob:plain"
    assert asked(safety_identifier="ann") == "ann"
    assert asked(user="bob", safety_identifier="ann") == "bob"
    assert asked("made-up@ann", user="ann") == "ann"
    assert asked(safety_identifier="no\nid") is None
    with pytest.raises(openai.BadRequestError, match="name one user") as raised:
        asked("made-up@ann", user="bob")
    assert raised.value.param == "user"
    for model in ("made-up@", "made-up@.."):
        with pytest.raises(openai.BadRequestError) as raised:
            asked(model)
        assert raised.value.param == "model"


def test_a_header_names_the_user_only_where_it_is_trusted(live, client):
    header = {"X-OpenWebUI-User-Id": "ann"}
    asked = {"model": "made-up", "messages": QUESTION, "extra_headers": header}
    client.chat.completions.create(**asked)
    assert live.service.requests[-1][0] is None
    with (
        serve(settings(user_header="X-OpenWebUI-User-Id")) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as trusting,
    ):
        trusting.chat.completions.create(**asked)
        assert running.service.requests[-1][0] == UserKey("acme", "ann")
        answer = httpx.post(f"{running.url}/v1/personalize", json={"query": "q"}, headers=header)
        assert answer.json()["trace"]["user_id"] == "ann"
        with pytest.raises(openai.BadRequestError, match="X-OpenWebUI-User-Id says 'ann'"):
            trusting.chat.completions.create(**asked, user="bob")
        with pytest.raises(openai.BadRequestError) as raised:
            trusting.chat.completions.create(**{**asked, "extra_headers": {"X-OpenWebUI-User-Id": "x" * 300}})
        assert raised.value.param == "X-OpenWebUI-User-Id"


def test_other_endpoints_name_what_to_use_instead(client):
    for call, instead in (
        (lambda: client.completions.create(model="made-up", prompt="q"), "/v1/chat/completions"),
        (lambda: client.responses.create(model="made-up", input="q"), "/v1/chat/completions"),
        (lambda: client.embeddings.create(model="made-up", input="q"), "an embedding server"),
        (lambda: client.responses.retrieve("r1"), "/v1/chat/completions"),
    ):
        with pytest.raises(openai.NotFoundError, match=instead) as raised:
            call()
        assert raised.value.code == "unsupported_endpoint"


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


def test_a_stream_whose_client_leaves_is_not_made_any_further(live, http):
    live.service.gate = threading.Event()
    body = {"model": "made-up", "messages": QUESTION, "stream": True}
    before = live.service.cancelled
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_text())
    until(lambda: live.service.cancelled == before + 1)
    live.service.gate.set()


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "system", "content": "x"}], "messages"),
        ([{"role": "user", "content": " "}], "messages"),
        ([*QUESTION, {"role": "assistant", "content": "so"}], "messages"),
        ([{"role": "tool", "content": "x", "tool_call_id": "1"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
    ],
)
def test_messages_without_a_question(client, messages, param):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="made-up", messages=messages)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("error", "kind", "status", "retry_after"),
    [
        (OverloadedError(2.5), openai.RateLimitError, 429, "3"),
        (LLMDownError("no connection"), openai.InternalServerError, 503, "5"),
        (StageDownError("history server"), openai.InternalServerError, 503, "1"),
        (DeadlineError(), openai.InternalServerError, 504, None),
        (RefusedError("too long"), openai.BadRequestError, 400, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_services_errors(live, client, error, kind, status, retry_after, stream):
    live.service.error = error
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model="made-up", messages=QUESTION, stream=stream)
    assert raised.value.status_code == status
    assert raised.value.response.headers.get("retry-after") == retry_after
    assert raised.value.body["message"]


def test_the_clients_own_retry_gets_through(live):
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="any", max_retries=1) as client:
        live.service.error = OverloadedError(0.1)
        until_asked = len(live.service.requests) + 1

        def mend() -> None:
            until(lambda: len(live.service.requests) >= until_asked)
            live.service.error = None

        threading.Thread(target=mend).start()
        assert client.chat.completions.create(model="made-up", messages=QUESTION).choices


def test_keys():
    with serve(settings(TWO_TENANTS)) as running:
        for key in KEYS.values():
            with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key) as client:
                client.chat.completions.create(model="made-up", messages=QUESTION, user="ann")
        assert [user.tenant for user, _, _ in running.service.requests] == list(KEYS)
        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="wrong") as client,
            pytest.raises(openai.AuthenticationError) as raised,
        ):
            client.models.list()
        assert raised.value.code == "invalid_api_key"
