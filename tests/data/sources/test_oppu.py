"""OPPU's processed histories."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from tests.data.files import RATING, Ingested, ingest_pure, item, write


def query(question_id: Any, gold: Any = "5", text: str = "fine") -> dict[str, Any]:
    return {"id": question_id, "input": f"Score? review: {text}", **({} if gold is None else {"gold": gold})}


def user(user_id: Any, *queries: Any, profile: Any = None) -> dict[str, Any]:
    return {"user_id": user_id, "profile": [item("a")] if profile is None else profile, "query": list(queries)}


def ingest(root: Path, others: Any, top: Any) -> Ingested:
    write(root / "user_others.json", others)
    write(root / "user_top_100_history.json", top)
    return ingest_pure(root, RATING, root / "out", source="oppu")


def test_others_train_and_top_100_test(tmp_path: Path) -> None:
    profile = [item("b", date="2020"), item("a", date="2019")]
    done = ingest(tmp_path, [user(1, query("q1"), query("q2", 3))], [user("2", query("q3", None), profile=profile)])
    assert done.rejects == []
    assert [(q.question_id, q.gold, q.history) for q in done.users["1"].questions] == [
        ("q1", "5", (0,)),
        ("q2", "3", (0,)),
    ]
    test = done.users["2"]
    assert (test.split, [i.item_id for i in test.items]) == ("test", ["a", "b"])
    assert (test.questions[0].text, test.questions[0].gold, test.questions[0].history) == ("fine", None, (0, 1))


def test_the_tweets_file_has_another_name(tmp_path: Path) -> None:
    write(tmp_path / "user_others.json", [user(1, query("q1"))])
    write(tmp_path / "user_more_100_history.json", [user(2, query("q2"))])
    assert ingest_pure(tmp_path, RATING, tmp_path / "out", source="oppu").users["2"].split == "test"
    write(tmp_path / "user_top_100_history.json", [user(3, query("q3"))])
    with pytest.raises(UserError, match="two files of test users"):
        ingest_pure(tmp_path, RATING, tmp_path / "out2", source="oppu")


def test_what_is_set_aside(tmp_path: Path) -> None:
    others = [
        user(1, query("q1"), query("q1"), query("q2", None), query("q3", "9"), query("q4", text=" "), "x", {"id": 5}),
        user(2, profile=["x", item("a", score=None)]),
        {"user_id": 3, "profile": []},
        {"profile": [], "query": []},
        7,
    ]
    done = ingest(tmp_path, others, [user("t", query("q9"))])
    assert {(r, reason) for _, r, reason in done.reasons} == {
        ("0:1/query[1]:q1", "duplicate_question"),
        ("0:1/query[2]:q2", "question_without_gold"),
        ("0:1/query[3]:q3", "unusable_gold"),
        ("0:1/query[4]:q4", "empty_question"),
        ("0:1/query[5]", "malformed_record"),
        ("0:1/query[6]", "malformed_record"),
        ("1:2/profile[0]", "malformed_item"),
        ("1:2/profile[1]:a", "missing_answer"),
        ("2", "malformed_record"),
        ("3", "malformed_record"),
        ("4", "malformed_record"),
    }
    assert set(done.users) == {"1", "t"}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([{"user_id": 1, "profile": []}], "not a file of OPPU's histories: its first record has no query list"),
        ([{"id": 1, "input": "", "profile": []}], "not a file of OPPU's histories: its first record has no user_id"),
        ([1], "not a file of OPPU's histories: its first record has no user_id, profile and query"),
        ({"a": 1}, "not a file of OPPU's histories: the file must be a JSON list of records"),
        ([], "holds no users: write or download the file again"),
        ('[{"user_id": 1, "pro', "is cut off at record 0 (counted from 0): write or download the file again"),
        (
            [user(1, profile=[{"id": "a", "abstract": "x"}])],
            "its items have abstract, id, but data.task=lamp_3 asks about text",
        ),
    ],
)
def test_not_the_layout(tmp_path: Path, others: Any, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, others, [user("t", query("q9"))])
    assert str(caught.value) == f"{tmp_path}/user_others.json: {expected}"


def test_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "user_others.json", [])
    with pytest.raises(UserError) as caught:
        ingest_pure(tmp_path, RATING, tmp_path / "out", source="oppu")
    assert str(caught.value) == (
        f"{tmp_path}/user_top_100_history.json: no such file: "
        "data.root must hold user_others.json and user_top_100_history.json or user_more_100_history.json"
    )
