"""The bodies that providers send with a 200."""

import json

import pytest

from hydra_ray.llm.response_parsing import (
    ErrorInAnswerError,
    Usage,
    empty_record,
    most_usage,
    read_answer,
    read_usage,
)
from hydra_ray.llm.retry import EmptyAnswerError, TransientError
from hydra_ray.llm.types import finishes, without_surrogates

MOST = Usage(100, 32)
USAGE = {"prompt_tokens": 9, "completion_tokens": 3}


def read(*choices, usage=USAGE, **more):
    return read_answer(json.dumps({"choices": list(choices), "usage": usage, **more}).encode(), 8, MOST)


def choice_of(content, why="stop", **more):
    return {"message": {"role": "assistant", "content": content, **more}, "finish_reason": why}


def one(choice):
    """Text and finish of an answer of one choice."""
    record = read(choice)
    return record["texts"][0], finishes(record)[0]


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        (choice_of("red"), "red", "stop"),
        (choice_of("re", "length"), "re", "length"),
        (choice_of("re", "max_tokens"), "re", "length"),
        (choice_of("", "content_filter"), "", "content_filter"),
        (choice_of(None, "content_filter"), "", "content_filter"),
        (choice_of("half a", "content_filter"), "half a", "content_filter"),
        (choice_of(""), "", "empty"),
        (choice_of("  \n"), "", "empty"),
        (choice_of(None), "", "empty"),
        (choice_of(None, "length"), "", "empty"),
        (choice_of(None, "length", reasoning_content="Let me see"), "", "thinking"),
        (choice_of("", "length", reasoning="Let me see"), "", "thinking"),
        (choice_of("red", reasoning_content="Let me see"), "red", "stop"),
        (choice_of("<think>It may be red", "length"), "", "thinking"),
        (choice_of("<think>It may be red</think>\n\nblue"), "\n\nblue", "stop"),
        (choice_of("It may be red</think>\nblue"), "\nblue", "stop"),
        (choice_of("<think>\n\n</think>\n\n", "length"), "", "thinking"),
        (choice_of(None, refusal="I cannot help with that."), "I cannot help with that.", "content_filter"),
        (choice_of([{"type": "thinking", "thinking": [{"type": "text", "text": "red?"}]},
                    {"type": "text", "text": "blue"}]), "blue", "stop"),
        (choice_of([{"type": "thinking", "thinking": "red?"}], "length"), "", "thinking"),
        (choice_of([{"type": "text", "text": "bl"}, {"type": "text", "text": "ue"}]), "blue", "stop"),
        (choice_of([{"type": "output_text", "text": "blue"}]), "blue", "stop"),
        (choice_of(["bl", "ue"]), "blue", "stop"),
        (choice_of({"tag": "blue"}), '{"tag": "blue"}', "stop"),
        ({"finish_reason": "content_filter"}, "", "content_filter"),
        ({"message": None, "finish_reason": "stop"}, "", "empty"),
        (choice_of("red", {"type": "stop"}), "red", "stop"),
        (choice_of("red", ["length"]), "red", "stop"),
        (choice_of("red", 3), "red", "stop"),
    ],
)  # fmt: skip
def test_every_shape_of_a_choice(choice, text, finish):
    assert one(choice) == (text, finish)


def test_half_a_character_is_replaced_and_two_halves_are_one():
    body = b'{"choices": [{"message": {"content": "red \\ud83d"}}, {"message": {"content": "\\ud83d\\ude00"}}]}'
    assert read_answer(body, 2, MOST)["texts"] == ["red \ufffd", "\U0001f600"]
    chunks = [{"type": "text", "text": "\ud83d"}, {"type": "text", "text": "\ude00"}]
    assert one(choice_of(chunks))[0] == "\U0001f600"
    assert without_surrogates("a\udc00b") == "a\ufffdb"


def test_no_choices():
    with pytest.raises(EmptyAnswerError):
        read_answer(b'{"choices": []}', 1, MOST)
    record = read(usage={"prompt_tokens": 9, "completion_tokens": 0})
    assert (record["texts"], set(finishes(record)), record["prompt_tokens"]) == ([""] * 8, {"empty"}, 9)
    assert finishes(read(prompt_filter_results=[{"prompt_index": 0}]))[0] == "content_filter"
    assert empty_record(2, MOST) == {
        "texts": ["", ""], "prompt_tokens": 100, "completion_tokens": 32, "finish": ["empty"] * 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "overloaded", "code": 502}, 502),
        ({"message": "overloaded", "code": "502"}, 502),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, 429),
        ({"message": "overloaded", "type": "overloaded_error"}, 529),
        ({"message": "no", "type": "invalid_request_error"}, 400),
        ({"message": "who knows"}, None),
        ({"message": "who knows", "code": "\u2075\u2070\u2070"}, None),
        ({"message": "who knows", "code": "9" * 5000}, None),
        ("who knows", None),
    ],
)
def test_an_error_inside_a_200(error, status):
    with pytest.raises(ErrorInAnswerError) as caught:
        read_answer(json.dumps({"error": error}).encode(), 1, MOST)
    assert caught.value.status == status
    assert caught.value.problem.message == (error if isinstance(error, str) else error["message"])
    with pytest.raises(ErrorInAnswerError):
        read({"error": error, "message": {"content": ""}, "finish_reason": "error"})


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b"3", b'{"choices": null}', b'{"choices": [3]}', b"{}"])
def test_what_is_no_answer(body):
    with pytest.raises(TransientError, match="not an OpenAI chat completion") as caught:
        read_answer(body, 1, MOST)
    assert caught.value.maybe_billed


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, (9, 3)),
        ({"input_tokens": 9, "output_tokens": 3}, (9, 3)),
        ({"input_tokens": 9, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 1, "output_tokens": 3},
         (30, 3)),
        ({"prompt_tokens": 9}, (9, 32)),
        ({"completion_tokens": 3}, (100, 3)),
        ({"prompt_tokens": 9, "completion_tokens": None, "total_tokens": 12}, (9, 3)),
        ({"prompt_tokens": None, "completion_tokens": 3, "total_tokens": 12}, (9, 3)),
        ({"total_tokens": 40}, (8, 32)),
        ({"prompt_tokens": 9, "total_tokens": 5}, (9, 32)),
        ({"prompt_tokens": -9, "completion_tokens": "3"}, (100, 3)),
        ({"prompt_tokens": "many", "completion_tokens": 3.0}, (100, 3)),
        ({"prompt_tokens": True, "completion_tokens": 1e300}, (100, 32)),
        ({"prompt_tokens": 10**400, "completion_tokens": 3}, (100, 3)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, (100, 32)),
        ({}, (100, 32)),
        (None, (100, 32)),
        ("9", (100, 32)),
        ([9, 3], (100, 32)),
    ],
)  # fmt: skip
def test_a_usage_counts_what_it_can_and_the_most_for_the_rest(usage, counted):
    assert read_usage(usage, MOST) == counted


def test_the_most_a_call_can_take():
    assert most_usage([{"role": "user", "content": "é 1"}, {"role": "user", "content": ""}], 3, 10) == (4 + 32, 30)
