"""Bad LaMP files: what is set aside, record by record, and what ends the ingest with one line."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from tests.data.files import HEADLINE, RATING, golds, ingest_pure, item, lamp_root, question, write

Q = "train_questions.json"


def reasons(tmp_path: Path, train: Any, outputs: Any = None, **more: Any) -> list[tuple[str, str, str]]:
    return ingest_pure(lamp_root(tmp_path, train, outputs, **more), RATING, tmp_path / "out").reasons


def message(tmp_path: Path, **files: Any) -> str:
    root = lamp_root(tmp_path, **files)
    with pytest.raises(UserError) as caught:
        ingest_pure(root, RATING, tmp_path / "out")
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{root}/", "")


@pytest.mark.parametrize(
    ("bad", "where", "reason"),
    [
        ({"id": "x", "text": "t", "date": "2020"}, "x", "missing_answer"),
        (item("x", score=""), "x", "missing_answer"),
        (item("x", score="6"), "x", "answer_not_a_label"),
        (item("x", text=" "), "x", "empty_text"),
        ({"id": "x", "score": 5}, "x", "empty_text"),
        (item("x", text=["no text"]), "x", "malformed_item"),  # type: ignore[arg-type]
        (item(None), "", "malformed_item"),
        ("text", "", "malformed_item"),
        (item("x", date="soon"), "x", "malformed_date"),
        (item("ok", text="other"), None, "conflicting_item"),
    ],
)
def test_items(tmp_path: Path, bad: Any, where: str | None, reason: str) -> None:
    record = "0/ok" if where is None else "0:1/profile[1]" + (f":{where}" if where else "")
    done = ingest_pure(lamp_root(tmp_path, [question("1", [item("ok"), bad])]), RATING, tmp_path / "out")
    assert done.reasons == [(Q, record, reason)]
    kept = [i.item_id for i in done.users["q:train:1"].items]
    assert kept == (["x", "ok"] if reason == "malformed_date" else ["ok"])


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


def test_gold_entries(tmp_path: Path) -> None:
    entries = [{"id": "1", "output": "5"}, {"id": "1", "output": "4"}, {"id": "7", "output": "4"}, {"id": "8"}, "x"]
    assert reasons(tmp_path, [question("1")], {"task": "LaMP_3", "golds": entries}) == [
        ("train_outputs.json", "1:1", "duplicate_gold"),
        ("train_outputs.json", "3", "malformed_gold"),
        ("train_outputs.json", "4", "malformed_gold"),
        ("train_outputs.json", "7", "gold_without_question"),
    ]


def test_missing_files(tmp_path: Path) -> None:
    wanted = "data.root must hold train_questions.json, train_outputs.json and dev_questions.json"
    for name in ("dev_questions.json", "train_outputs.json", "train_questions.json"):
        root = lamp_root(tmp_path / name)
        (root / name).unlink()
        with pytest.raises(UserError) as caught:
            ingest_pure(root, RATING, tmp_path / "out")
        assert str(caught.value) == f"{root}/{name}: no such file: {wanted}"


def test_missing_folder_and_equal_splits(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ingest_pure(tmp_path / "no", RATING, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}/no: no such folder: data.root must be the folder that holds "
        "train_questions.json, train_outputs.json and dev_questions.json"
    )
    with pytest.raises(UserError, match=r"^data.test_split: 'train' is data.train_split as well: give another prefix$"):
        ingest_pure(lamp_root(tmp_path), RATING, tmp_path / "out", test_split="train")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train": '[{"id": "1", "input": "a", "profile": []}, {"id": "2", "inp'}, f"{Q}: is cut off at record 1 "),
        ({"train": '[{"id": "1", "input": "a", "profile": []}'}, f"{Q}: is cut off at record 1 "),
        ({"train": ""}, f"{Q}: is cut off at record 0 "),
        ({"train": "[nonsense]"}, f"{Q}: is not JSON at record 0 "),
        ({"train": '[{"id": "1", "input": "a", "profile": []}] extra'}, f"{Q}: is not JSON at record 1 "),
        (
            {"train_golds": '{"golds": [{"id": "1", "output": "5"}, {"id"'},
            "train_outputs.json: is cut off at record 0 ",
        ),
        (
            {"train_golds": '{"task": "LaMP_3", "golds": [{"id": "1", "output": "5"}, {"id"'},
            "train_outputs.json: is cut off at record 1 ",
        ),
    ],
)
def test_broken_json(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    assert message(tmp_path, **files) == expected + "(counted from 0): write or download the file again"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train": {"a": 1}}, f"{Q}: not a LaMP questions file: the file must be a JSON list of records"),
        ({"train": [1]}, f"{Q}: not a LaMP questions file: its first record has no id, input and profile"),
        (
            {"train": [{"id": "1", "input": "a"}]},
            f"{Q}: not a LaMP questions file: its first record has no profile list",
        ),
        (
            {"train": [{"id": "1", "profile": []}]},
            f"{Q}: not a LaMP questions file: its first record has no input text",
        ),
        ({"train": [{"input": "a", "profile": []}]}, f"{Q}: not a LaMP questions file: its first record has no id"),
        ({"train": []}, f"{Q}: holds no questions: write or download the file again"),
        (
            {"train_golds": []},
            'train_outputs.json: not a LaMP outputs file ({"task", "golds": [...]}): the file must be a JSON object',
        ),
        (
            {"train_golds": golds({"7": "5", "8": "5"})},
            f"train_outputs.json: has a gold answer for 0 of the 1 questions of {Q}: "
            "give the outputs file of the same split",
        ),
        (
            {"dev": [question(i) for i in "2345"], "dev_golds": golds({"2": "5"})},
            "dev_outputs.json: has a gold answer for 1 of the 4 questions of dev_questions.json: "
            "give the outputs file of the same split",
        ),
        (
            {"train_golds": golds({"1": "5"}, "LaMP_4")},
            "train_outputs.json: holds gold answers of LaMP_4, but data.task is lamp_3: set data.task: lamp_4",
        ),
        (
            {"train_golds": golds({"1": "5"}, "Other")},
            "train_outputs.json: holds gold answers of Other, but data.task is lamp_3: give the files of that task",
        ),
        (
            {"train": [question("1", [{"id": "1", "abstract": "a"}])]},
            f"{Q}: its items have abstract, id, but data.task=lamp_3 asks about text",
        ),
    ],
)
def test_not_the_layout(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    assert message(tmp_path, **files) == expected


def test_an_outputs_file_for_more_questions_is_fine(tmp_path: Path) -> None:
    outputs = golds({str(i): "5" for i in range(1, 9)})
    assert {reason for _, _, reason in reasons(tmp_path, [question("1")], outputs)} == {"gold_without_question"}


def test_surrogate_halves_do_not_stop_the_ingest(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, train_golds=golds({"1": "x"}, "LaMP_4"), dev_golds=False)
    profile = [{"id": "a", "text": "half \ud83d", "title": "t"}]
    write(root / Q, [{"id": "1", "input": "article: \ud83d b", "profile": profile}])
    write(root / "dev_questions.json", [{"id": "2", "input": "article: b", "profile": profile}])
    assert ingest_pure(root, HEADLINE, tmp_path / "out").users["q:train:1"].questions[0].text == "? b"
