"""LaMP's files as they should be: both layouts of ids, the question's text, dates, what each question may see."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from tests.data.files import HEADLINE, RATING, golds, ingest_pure, item, lamp_root, question, write

Q = "train_questions.json"


def test_older_layout_makes_every_question_its_own_user(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, train=[question("1"), question("3")], train_golds=golds({"1": "5", "3": 4}))
    done = ingest_pure(root, RATING, tmp_path / "out")
    assert set(done.users) == {"q:train:1", "q:train:3", "q:dev:2"}
    user = done.users["q:train:3"]
    assert (user.split, user.questions[0].gold, user.questions[0].history) == ("train", "4", (0,))
    assert done.users["q:dev:2"].split == "test"
    assert done.rejects == []


def test_time_based_layout_merges_a_users_questions(tmp_path: Path) -> None:
    a, b, c = item("a", "x", date="2020-03"), item("b", "y", date="2019"), item("c", "z", date="2020-04-05")
    train = [
        question("2", [a, b, c], user_id=7, date="2020-05-01"),
        question("1", [a, b], user_id="7", date="2020-04-01"),
    ]
    dev = [question("9", [], user_id="8")]
    root = lamp_root(tmp_path, train, golds({"1": "5", "2": "4"}), dev, golds({"9": "1"}))
    done = ingest_pure(root, RATING, tmp_path / "out")
    user = done.users["7"]
    assert [(i.item_id, i.date) for i in user.items] == [("b", "2019"), ("a", "2020-03"), ("c", "2020-04-05")]
    assert [(q.question_id, q.history, q.date) for q in user.questions] == [
        ("1", (0, 1), "2020-04-01"),
        ("2", (0, 1, 2), "2020-05-01"),
    ]
    assert done.counts["repeats"] == 2
    assert done.users["8"].items == ()
    assert done.users["8"].questions[0].history == ()


def test_an_item_that_is_newer_than_the_question_is_not_in_its_history(tmp_path: Path) -> None:
    profile = [item("old", date="2020-01"), item("same", date="2020-05-01"), item("new", date="2020-05-02"),
               item("none", date=None)]  # fmt: skip
    train = [question("1", profile, user_id="7", date="2020-05-01T12:00"), question("2", profile, user_id="7")]
    root = lamp_root(tmp_path, train, golds({"1": "5", "2": "4"}))
    done = ingest_pure(root, RATING, tmp_path / "out")
    user = done.users["7"]
    seen = {q.question_id: [i.item_id for i in user.history_of(q)] for q in user.questions}
    assert seen == {"2": ["none", "old", "same", "new"], "1": ["none", "old", "same"]}
    assert done.reasons == [("train_questions.json", "0:1/new", "newer_item")]
    assert done.counts["warnings"] == {"newer_item": 1}


def test_undated_items_keep_the_files_order(tmp_path: Path) -> None:
    profile = [item("z", date=None), item("y", date=""), item("x", date="2001")]
    done = ingest_pure(lamp_root(tmp_path, [question("1", profile)]), RATING, tmp_path / "out")
    assert [i.item_id for i in done.users["q:train:1"].items] == ["z", "y", "x"]


def test_questions_without_outputs_file_have_no_gold(tmp_path: Path) -> None:
    done = ingest_pure(lamp_root(tmp_path, dev_golds=False), RATING, tmp_path / "out")
    assert done.users["q:dev:2"].questions[0].gold is None
    assert done.rejects == []


def test_text_and_corpus_are_the_tasks_fields(tmp_path: Path) -> None:
    profile = [{"id": "a", "title": "Head", "text": " the  text ", "date": "2020"}]
    marked = "Generate a headline for the following article: one\n article: two "
    train = [{"id": "1", "input": marked, "profile": profile}]
    root = lamp_root(tmp_path, train, golds({"1": "Gold"}, "LaMP_4"), [{**train[0], "id": "2"}], False)
    user = ingest_pure(root, HEADLINE, tmp_path / "out").users["q:train:1"]
    assert (user.items[0].text, user.items[0].corpus, user.items[0].answer) == (
        " the  text ",
        "Head  the  text ",
        "Head",
    )
    assert user.questions[0].text == "one\n article: two "
    assert user.questions[0].head + user.questions[0].text == marked


def test_a_user_of_both_splits_goes_wholly_to_one(tmp_path: Path) -> None:
    ids = [f"u{i}" for i in range(40)]
    train = [question(f"t{u}", [item("a", date="2019")], user_id=u) for u in ids]
    dev = [question(f"d{u}", [item("a", date="2019"), item("b", date="2020")], user_id=u) for u in ids]
    root = lamp_root(tmp_path, train, golds({f"t{u}": "5" for u in ids}), dev, golds({f"d{u}": "5" for u in ids}))
    done = ingest_pure(root, RATING, tmp_path / "out")
    test = {u for u in ids if done.users[u].split == "test"}
    assert 5 < len(test) < 25
    assert {u for u in ids if done.users[u].questions[0].question_id.startswith("d")} == test
    assert all([i.item_id for i in user.items] == ["a", "b"] for user in done.users.values())
    assert done.counts["rejects"] == {"question_of_other_split": 40}


def message(tmp_path: Path, **files: Any) -> str:
    root = lamp_root(tmp_path, **files)
    with pytest.raises(UserError) as caught:
        ingest_pure(root, RATING, tmp_path / "out")
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{root}/", "")


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


def test_surrogate_halves_do_not_stop_the_ingest(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, train_golds=golds({"1": "x"}, "LaMP_4"), dev_golds=False)
    profile = [{"id": "a", "text": "half \ud83d", "title": "t"}]
    write(root / Q, [{"id": "1", "input": "article: \ud83d b", "profile": profile}])
    write(root / "dev_questions.json", [{"id": "2", "input": "article: b", "profile": profile}])
    assert ingest_pure(root, HEADLINE, tmp_path / "out").users["q:train:1"].questions[0].text == "? b"
