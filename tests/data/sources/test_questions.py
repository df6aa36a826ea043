"""Questions of LaMP that are set aside, one by one."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources.questions import question_text
from tests.data.files import RATING, golds, ingest_pure, item, lamp_root, question

Q = "train_questions.json"


def reasons(tmp_path: Path, train: Any, outputs: Any = None, **more: Any) -> list[tuple[str, str, str]]:
    return ingest_pure(lamp_root(tmp_path, train, outputs, **more), RATING, tmp_path / "out").reasons


@pytest.mark.parametrize(
    ("bad", "record", "reason"),
    [
        (question("x", text=" "), "1:x", "empty_question"),
        (question("1"), "1:1", "duplicate_question"),
        (question("y"), "1:y", "question_without_gold"),
        (question("bad"), "1:bad", "unusable_gold"),
        (question("none"), "1:none", "unusable_gold"),
        (question("x", date="soon"), "1:x", "malformed_date"),
        ({"id": "x", "input": "no mark", "profile": []}, "1:x", "marker_missing"),
        ({"id": "x", "input": "review: a", "profile": {}}, "1:x", "malformed_record"),
        ({"id": "x", "input": None, "profile": []}, "1:x", "malformed_record"),
        ({"input": "review: a", "profile": []}, "1", "malformed_record"),
        (["x"], "1", "malformed_record"),
    ],
)
def test_questions(tmp_path: Path, bad: Any, record: str, reason: str) -> None:
    outputs = {"1": "5", "x": "5", "bad": "9", "none": None}
    used = {"1", bad["id"] if isinstance(bad, dict) and bad.get("id") in outputs else "1"}
    if reason in ("malformed_record", "duplicate_question"):
        used = {"1"}
    got = reasons(tmp_path, [question("1"), bad], golds({k: v for k, v in outputs.items() if k in used}))
    assert got == [(Q, record, reason)]


def test_a_question_that_is_set_aside_leaves_its_items(tmp_path: Path) -> None:
    train = [question("1", user_id="u"), question("y", [item("other")], user_id="u")]
    done = ingest_pure(lamp_root(tmp_path, train), RATING, tmp_path / "out")
    assert [i.item_id for i in done.users["u"].items] == ["1-0", "other"]
    assert [(q.question_id, q.history) for q in done.users["u"].questions] == [("1", (0,))]


def test_a_question_kept_without_its_marker_keeps_its_text(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, [{"id": "1", "input": "no mark", "profile": []}])
    assert ingest_pure(root, RATING, tmp_path / "out").users["q:train:1"].questions[0].text == "no mark"


@pytest.mark.parametrize(
    ("marked", "marker", "text"),
    [
        ("Which category ... [women, religion] article: The  text", "article:", "The  text"),
        ("Which tag ... tags: [a, b] description:  two blanks", "description:", " two blanks"),
        ("Give the subject: Re: hello", ":", "Re: hello"),
        ("whole", None, "whole"),
    ],
)
def test_question_text_starts_after_the_first_marker(marked: str, marker: str | None, text: str) -> None:
    assert question_text(marked, marker) == (text, True)


def test_lamp_1_keeps_the_whole_input_and_items_without_answer(tmp_path: Path) -> None:
    train = [{"id": "1", "input": 'which? [1]: "a" [2]: "b"', "profile": [{"id": "p", "title": "T", "abstract": "A"}]}]
    root = lamp_root(tmp_path, train, golds({"1": "[2]"}, "LaMP_1"), [{**train[0], "id": "2"}], False)
    user = ingest_pure(root, load_task("lamp_1"), tmp_path / "out").users["q:train:1"]
    assert (user.items[0].text, user.items[0].corpus, user.items[0].answer) == ("T", "T A", "")
    assert (user.questions[0].text, user.questions[0].gold) == ('which? [1]: "a" [2]: "b"', "[2]")
