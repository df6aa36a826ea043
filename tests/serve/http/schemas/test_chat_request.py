"""What a chat request may hold, asked by the real  package."""

import openai
import pytest

QUESTION = [{"role": "user", "content": "which tag?"}]


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
