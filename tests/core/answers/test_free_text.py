"""What LLMs write around a text: the text alone."""

import pytest

from hydra_ray.core.answers.parse import is_unusable, matches_gold, parse_answer, parse_gold, parsed_texts
from hydra_ray.core.tasks import Task, load_task


def _task(**given: object) -> Task:
    common = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do.", "text_label": "Mail"}
    return Task.model_validate(common | given)


RATING, HEADLINE = load_task("lamp_3"), load_task("lamp_4")
REPLY = _task(kind="generation", answer_label="Reply", primary_metric="rouge1")


@pytest.mark.parametrize(
    "raw",
    [
        'Sure! Here is a headline:\n"Rain in Spain"',
        'Sure! Here is a headline: "Rain in Spain"',
        "Certainly! Here's a possible headline for the article:\n\n**Rain in Spain**",
        "Here are some ideas:\n\nRain in Spain",
        "Headline: Rain in Spain",
        "**Headline:** Rain in Spain",
        "**Headline: Rain in Spain**",
        "Headline:\nRain  in Spain",
        '{"headline": "Rain in Spain"}',
        '```json\n{"headline": "Rain in Spain"}\n```',
        "```\nRain in Spain\n```",
        "“Rain in Spain”",
        "Rain in Spain<|im_end|>",
        "<think>Sun?</think>\nRain in Spain",
        "<answer>\nRain in Spain\n</answer>",
        "<Headline>Rain in Spain</headline>",
        "<answer>\nHere is the headline:\n**Rain in Spain**\n</answer><|im_end|>",
        'Here is the headline:\n<answer>\n{"headline":\n"Rain in Spain"}\n</answer>',
        "Headline: <answer>Rain in Spain</answer>",
        "```\n<answer>\nRain in Spain\n</answer>\n```",
        "<answer>\nRain in Spain\n</answer>\n\nArticle: Sun in France\nHeadline: Sun",
        "Rain in Spain\n\nThis headline is short.",
        "Rain in Spain\n\nArticle: Sun in France\nHeadline: Sun",
    ],
)
def test_one_line(raw: str) -> None:
    assert parse_answer(HEADLINE, raw) == "Rain in Spain"


def test_one_line_that_ends_in_a_colon_stays_where_nothing_follows() -> None:
    assert parse_answer(HEADLINE, "What we know:") == "What we know:"


LETTER = "Dear Ms Lee,\n\nthank you for your mail:\n  - one\n  - two\n\nBest\nJo"


@pytest.mark.parametrize(
    "raw",
    [
        LETTER,
        f"\n\n  {LETTER}  \n",
        LETTER.replace("\n", "\r\n"),
        f"Reply:\n{LETTER}",
        f"Reply: {LETTER}",
        f"Sure! Here is the reply:\n\n{LETTER}",
        f'"{LETTER}"',
        f"```\n{LETTER}\n```",
        f"<think>polite</think>\n{LETTER}",
        f"<reply>\n{LETTER}\n</reply>",
        f"{LETTER}\n\nMail: and another\nReply: Dear Mr Kay",
        f"{LETTER}<|im_end|>",
    ],
)
def test_free_text_keeps_every_line(raw: str) -> None:
    assert parse_answer(REPLY, raw) == LETTER


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't make it on Monday.",
        "Here is the code:\n1234",
        "Sure! Here is the address:\nMain Street 1",
        'She said: "No."\n"Yes", I said.',
        "* one\n* two",
        '{"answer": 1, "why": "two fields"}',
        "Best\nJo\nMail: jo@example.org",
        "Put it into <answer> tags: <answer>4</answer>",
        "<answer>one</answer> and <ANSWER>two</ANSWER>",
        "<answer>one</reply>",
        "<b>Hello</b>",
        "<answer>",
    ],
)
def test_free_text_that_looks_like_a_frame_is_left_alone(text: str) -> None:
    assert parse_answer(REPLY, text) == text == parse_gold(REPLY, text)


def test_a_gold_letter_is_whole_and_equals_itself() -> None:
    assert parse_gold(REPLY, f" {LETTER}\r\n") == LETTER
    assert matches_gold(REPLY, LETTER, LETTER)
    assert not matches_gold(REPLY, LETTER, "Dear Ms Lee,")


def test_free_text_of_thoughts_alone_is_no_answer() -> None:
    assert [parse_answer(REPLY, text) for text in ("<think>Dear", "<think>Dear</think>", '"<think>Dear"')] == [""] * 3
    assert [parse_answer(task, "<answer>\n</answer>") for task in (REPLY, HEADLINE)] == ["", ""]
    assert all(map(is_unusable, ("<think>Dear", "<think>Dear</think> ", None)))
    assert not any(map(is_unusable, ("", "Dear", "<think>a</think>Dear")))
    assert parsed_texts(REPLY, ["<think>Dear", None, "Dear"]) == ["Dear"]
