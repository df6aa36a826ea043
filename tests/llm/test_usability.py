"""What is wrong with an answer, and when there are too many of them."""

import pytest

from hydra_ray.core.tasks import Task
from hydra_ray.llm.usability import AnswerTally, Wanted

COLOURS = Task(
    name="colours", kind="classification", text_fields=("text",), answer_field="tag", instruction="Give the tag.",
    labels=("red", "blue"), primary_metric="accuracy", max_answer_tokens=8,
)  # fmt: skip
MAIL = Task(
    name="mail", kind="generation", text_fields=("text",), answer_field="reply", instruction="Reply.",
    primary_metric="rouge1",
)  # fmt: skip
TITLE = MAIL.model_copy(update={"name": "title", "single_line": True})


@pytest.mark.parametrize(
    ("task", "text", "finish", "fault"),
    [
        (COLOURS, "Red.", "stop", None),
        (COLOURS, "red, because the sun", "length", None),
        (COLOURS, "Let me see. This", "length", "cut"),
        (COLOURS, "", "length", "cut"),
        (COLOURS, "green", "stop", "no_label"),
        (COLOURS, " \n", "stop", "empty"),
        (COLOURS, "red", "content_filter", "refused"),
        (COLOURS, "", "thinking", "thinking"),
        (MAIL, "Dear Ms Lee,", "stop", None),
        (MAIL, "Dear Ms Lee,", "length", "cut"),
        (MAIL, "", "empty", "empty"),
        (TITLE, "Storm over harbour\nIt was a", "length", None),
        (TITLE, "Storm over", "length", "cut"),
        (None, "Likes sports and", "length", None),
        (None, "", "empty", "empty"),
    ],
)
def test_what_is_wrong_with_an_answer(task, text, finish, fault):
    assert Wanted("label", task, 8).fault(text, finish) == fault


def test_a_fifth_may_be_useless_and_the_line_says_what_and_why():
    tally = AnswerTally(Wanted("label seed 0", COLOURS, 8))
    for text in ["red"] * 8 + ["green"] + ["I would say that " * 9]:
        tally.add((text,), ("stop",))
    assert not tally.too_many
    tally.add((), (), "HTTP 400: flagged")
    tally.add(("a\nb",), ("length",))
    tally.add(("blue too",), ("length",))
    assert tally.too_many
    assert tally.counts() == {
        "answers": 13, "hit_max_tokens": 2, "empty": 0, "thinking": 0, "refused": 1, "cut": 1, "no_label": 2,
    }  # fmt: skip
    line = str(tally.error())
    assert line.startswith(
        "label seed 0: 4 of 13 answers are of no use (2 without a label of the task, 1 refused, 1 cut at max_tokens=8)"
    )
    assert 'e.g. "green", "HTTP 400: flagged", "a\\nb": ' in line
    assert "llm.accept_useless=true goes on" in line
    assert "\n" not in line


def test_a_long_answer_is_shown_shortened():
    tally = AnswerTally(Wanted("label", COLOURS, 8))
    tally.add(("x" * 200,), ("stop",))
    assert f'"{"x" * 59}…"' in str(tally.error())
