"""What stands around an answer comes off, piece by piece."""

import pytest

from hydra_ray.core.answers.markup import (
    answer_names,
    is_thought_only,
    json_fields,
    marked_answer,
    unfenced,
    unquoted,
    without_end_tokens,
    without_thoughts,
)

NAMES = answer_names("Tag")


def test_the_tasks_own_name_comes_first_and_once() -> None:
    assert NAMES[:2] == ("tag", "answer")
    assert NAMES.count("tag") == 1


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("<THINKING>a</THINKING>b<think>c</think>", "b"),
        ("a</think>b", "b"),
        ("a<think>b", "a"),
        ("1 < 2", "1 < 2"),
    ],
)
def test_thoughts(text: str, rest: str) -> None:
    assert without_thoughts(text) == rest
    assert is_thought_only(text) is False


def test_thoughts_and_nothing_else() -> None:
    assert is_thought_only("<think>a")
    assert is_thought_only("<think>a</think>\n")
    assert not is_thought_only(" ")


def test_end_tokens_fences_and_quotes() -> None:
    assert without_end_tokens("a <|im_end|></s> ") == "a"
    assert without_end_tokens("</s> a") == "</s> a"
    assert unfenced("```json\n{}\n```") == "{}"
    assert unfenced("```\na\n```\nb\n```\nc\n```") == "```\na\n```\nb\n```\nc\n```"
    assert [unquoted(text) for text in ('"a"', "**a**", "«a»", '"a" and "b"', "a", '""')] == ["a", "a", "a", "", "", ""]


def test_fields_of_a_json_object() -> None:
    assert json_fields('{"Tag": ["a", "b"], "n": null, "x": 1.5, "y": true}') == {
        "tag": "a or b", "n": "", "x": "1.5", "y": "true",
    }  # fmt: skip
    assert json_fields("{x}") == json_fields("[1]") == {}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('so: {"tag": "a"}', "a"),
        ('{"reason": "b", "tag": "a"}', "a"),
        ('{"tag": "a"} {"tag": "b"} {"tag": "a"}', "a or b"),
        ("<answer>a</answer>", "a"),
        ("\\boxed{\\text{a}}", "a"),
        ("<other>a</other>", None),
        ("a", None),
    ],
)
def test_a_marked_answer(text: str, answer: str | None) -> None:
    assert marked_answer(text, NAMES) == answer
