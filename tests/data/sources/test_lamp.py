"""LaMP's files as they should be: both layouts of ids, the question's text, dates, what each question may see."""

from pathlib import Path

import pytest

from hydra_ray.config import DataConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources.find import Source, find_sources
from hydra_ray.data.sources.golds import lamp_id_of
from hydra_ray.data.sources.questions import question_text
from hydra_ray.errors import UserError
from tests.data.files import HEADLINE, NEWS, RATING, golds, ingest_pure, item, lamp_root, question, write


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


def test_the_task_id_is_that_of_the_files(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, train_golds=golds({"1": "5"}, "LaMP_3"), dev_golds=golds({"2": "4"}, "LaMP_3x"))
    sources = find_sources(DataConfig(source="lamp", root=str(root)), root)
    assert lamp_id_of(sources) == "LaMP_3x"
    (root / "dev_outputs.json").unlink()
    assert lamp_id_of(find_sources(DataConfig(source="lamp", root=str(root)), root)) == "LaMP_3"
    assert lamp_id_of([Source("tabular", 0, root / "train_questions.json")]) is None


def test_the_two_meanings_of_lamp_2_are_told_apart_by_the_fields(tmp_path: Path) -> None:
    news = [
        {"id": "1", "input": "article: x", "profile": [{"id": "p", "title": "T", "text": "A", "category": "women"}]}
    ]
    root = lamp_root(tmp_path, news, golds({"1": "crime"}, "LaMP_2"), [{**news[0], "id": "2"}], False)
    assert ingest_pure(root, NEWS, tmp_path / "out").users["q:train:1"].questions[0].gold == "crime"
    with pytest.raises(UserError) as caught:
        ingest_pure(root, load_task("lamp_2m"), tmp_path / "out2")
    assert str(caught.value) == (
        f"{root}/train_outputs.json: holds gold answers of LaMP_2 with items of category, id, text, title, "
        "but data.task is lamp_2m: set data.task: lamp_2n"
    )
    movies = [{"id": "1", "input": "description: x", "profile": [{"id": "p", "description": "A", "tag": "comedy"}]}]
    write(root / "train_questions.json", movies)
    write(root / "train_outputs.json", golds({"1": "action"}, "LaMP_2"))
    write(root / "dev_questions.json", [{**movies[0], "id": "2"}])
    assert ingest_pure(root, load_task("lamp_2m"), tmp_path / "out3").users["q:train:1"].items[0].answer == "comedy"
