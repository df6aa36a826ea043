"""Normalisation: raw answers of an LLM to scored ones."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hydra_ray.core.answers.parse import is_label, matches_gold, parse_answer, parse_gold
from hydra_ray.core.tasks import Task, builtin_tasks, load_task


def _task(**given: object) -> Task:
    common = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do.", "text_label": "Mail"}
    return Task.model_validate(common | given)


TAGS = _task(
    kind="classification", answer_label="Tag", primary_metric="accuracy", labels=["billing", "refund", "credit_card"]
)
REPLY = _task(kind="generation", answer_label="Reply", primary_metric="rouge1")
_PIECES = st.sampled_from(
    ["billing", "refund", "not ", "Tag: ", "Reply: ", "\n", '"', "**", "```", "<think>", "</think>", "{", "}", "Mail: ",
     '{"tag": "', '"}', "<answer>", "</answer>", "Sure! Here is the reply:\n", "4", "/5", "four", "★", ". ",
     "é", "e\u0301"]
)  # fmt: skip

MOVIE, RATING, HEADLINE, CITATION = (load_task(name) for name in ("lamp_2m", "lamp_3", "lamp_4", "lamp_1"))


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("comedy", "comedy"),
        ("  \n\nComedy.\n\nMovie: another one", "comedy"),
        ("Tag: **Dark Comedy**", "dark comedy"),
        ("Answer:\n'sci fi'", "sci-fi"),
        ("The tag is “twist ending”!", "twist ending"),
        ("I would say it is a dark comedy, really", "dark comedy"),
        ("comedy or romance", ""),
        ("dark comedy, not plain comedy", ""),
        ("comedic", ""),
        ("Tag:", ""),
        ("<think>romance? no</think>\nviolence", "violence"),
        ("<think>romance, and then the budget ran out", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_classification(raw: str | None, answer: str) -> None:
    assert parse_answer(MOVIE, raw) == answer


def test_ampersand_and_brackets() -> None:
    news = load_task("lamp_2n")
    assert parse_answer(news, "Style and Beauty") == "style & beauty"
    assert [parse_answer(CITATION, text) for text in ("[1]", "2", "Paper [2].", "[1] or [2]")] == [
        "[1]",
        "[2]",
        "[2]",
        "",
    ]


def test_labels_that_differ_in_punctuation_alone_stay_apart() -> None:
    task = MOVIE.model_copy(update={"labels": ("c", "c++", "c#")})
    assert [parse_answer(task, text) for text in ("C++", "c", "Tag: C#", "pascal")] == ["c++", "c", "c#", ""]


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("4", "4"),
        ("Score: 4.0", "4"),
        ("4/5", "4"),
        ("4 out of 5 stars.", "4"),
        ("3.5", "3.5"),
        ("Four stars", "4"),
        ("five.", "5"),
        ("4, I repeat: 4", "4"),
        ("one of the best", ""),
        ("8/10", ""),
        ("3-4", ""),
        ("between 3 and 4", ""),
        ("-1", ""),
        ("7", ""),
        ("great", ""),
    ],
)
def test_rating(raw: str, answer: str) -> None:
    assert parse_answer(RATING, raw) == answer


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ('Headline: "A  Walk in  the Park?"\nIt is nice.', "A Walk in the Park?"),
        ('"One" and "Two"', '"One" and "Two"'),
        ("The headline is a lie", "The headline is a lie"),
        ("***\n\n", ""),
    ],
)
def test_generation(raw: str, answer: str) -> None:
    assert parse_answer(HEADLINE, raw) == answer


def test_an_answer_of_no_label_never_matches() -> None:
    strange = "no label of the list"
    assert parse_gold(MOVIE, strange) == strange
    assert not matches_gold(MOVIE, strange, "something else")
    assert not matches_gold(MOVIE, strange, "")
    assert not matches_gold(MOVIE, "comedy", None)
    assert matches_gold(MOVIE, "Comedy", "Tag: comedy")
    assert matches_gold(RATING, "4.0", "4 stars")


def test_is_label() -> None:
    assert is_label(MOVIE, "comedy")
    assert not is_label(MOVIE, "")
    assert not is_label(RATING, "3.5")
    assert is_label(HEADLINE, "anything")
    assert not is_label(HEADLINE, "")


@pytest.mark.parametrize("name", builtin_tasks())
@settings(max_examples=50)
@example(text='"<think>a"')
@example(text="<think>a</think><think>b</think>'Title: c'")
@given(text=st.text(alphabet="Tag: is\"'*`[]12/5.comedyfour\n", max_size=40) | st.text(max_size=30))
def test_twice_is_once(name: str, text: str) -> None:
    task = load_task(name)
    once = parse_answer(task, text)
    assert parse_answer(task, once) == once


@pytest.mark.parametrize("name", [n for n in builtin_tasks() if load_task(n).labels])
def test_every_label_is_itself(name: str) -> None:
    task = load_task(name)
    for label in task.labels:
        assert [parse_answer(task, form) for form in (label, label.upper(), f"{task.answer_label}: {label}.")] == [
            label
        ] * 3


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("labels_form", ["NFC", "NFD"])
def test_unicode_forms_are_one(form: str, labels_form: str) -> None:
    labels = [unicodedata.normalize(labels_form, label) for label in ("café", "thé")]
    task = _task(kind="classification", primary_metric="accuracy", labels=labels)
    written = unicodedata.normalize(form, "CAFÉ")
    assert parse_answer(task, written) == parse_gold(task, written) == "café" == task.labels[0]
    assert matches_gold(task, unicodedata.normalize(labels_form, "thé"), unicodedata.normalize(form, "It is thé."))
    free = unicodedata.normalize(form, "Un café,\ns'il vous plaît")
    assert parse_answer(REPLY, free) == parse_gold(REPLY, free) == "Un café,\ns'il vous plaît"


@settings(max_examples=300)
@given(pieces=st.lists(_PIECES | st.text(max_size=5), max_size=12))
@pytest.mark.parametrize("task", [TAGS, RATING, HEADLINE, REPLY], ids=lambda task: f"{task.kind}-{task.single_line}")
def test_reading_an_answer_or_a_gold_twice_is_once(task: Task, pieces: list[str]) -> None:
    once = parse_answer(task, "".join(pieces))
    assert parse_answer(task, once) == once
    gold = parse_gold(task, "".join(pieces))
    assert parse_gold(task, gold) == gold
