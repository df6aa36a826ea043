"""A user's own rows, in JSON Lines and Parquet, and the questions made of them."""

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import TabularConfig
from hydra_ray.core.hashing import split_of
from hydra_ray.core.tasks import load_task
from hydra_ray.data.formats.fields import made_id
from hydra_ray.data.holdout import HeldOut, with_questions
from hydra_ray.errors import UserError
from tests.data.files import NOTES, Ingested, ingest_pure, write


def row(user_id: Any, day: int, **more: Any) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "item_id": f"{user_id}-{day}",
        "title": "T",
        "text": f"text {day}",
        "tag": "Red",
        "date": f"2020-01-{day:02d}",
        **more,
    }


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in rows)


def ingest(root: Path, own: dict[str, Any] | None = None, task: Any = NOTES) -> Ingested:
    return ingest_pure(
        root, task, root / "out", source="tabular", tabular={"questions": 2, "min_items": 3, **(own or {})}
    )


def check(done: Ingested) -> None:
    user = done.users["u"]
    assert [i.item_id for i in user.items] == ["u-1", "u-2", "u-3", "u-4"]
    assert (user.items[0].corpus, user.items[0].answer) == ("T text 1", "red")
    assert [(q.question_id, q.text, q.gold, q.history, q.date) for q in user.questions] == [
        ("u-4", "text 4", "red", (0, 1, 2), "2020-01-04"),
        ("u-5", "text 5", "red", (0, 1, 2, 3), "2020-01-05"),
    ]
    short = done.users["short"]
    assert ([i.item_id for i in short.items], short.questions) == (["short-1", "short-2"], ())
    assert done.rejects == []


ROWS = [row("u", day) for day in (3, 1, 5, 2, 4)] + [row("short", day) for day in (1, 2)]


def test_jsonl(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(ROWS[:4]) + "\n")
    write(tmp_path / "b.ndjson", lines(ROWS[4:]))
    write(tmp_path / "README.txt", "not data")
    check(ingest(tmp_path))


def test_parquet_with_real_dates(tmp_path: Path) -> None:
    rows = [{**r, "date": datetime.date.fromisoformat(r["date"])} for r in ROWS]
    pq.write_table(pa.Table.from_pylist(rows[:3]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows[3:]), tmp_path / "b.parquet")
    check(ingest(tmp_path))


def test_columns_of_other_names(tmp_path: Path) -> None:
    renamed = [
        {"who": r["user_id"], "key": r["item_id"], "day": r["date"], "text": r["text"], "tag": r["tag"]} for r in ROWS
    ]
    write(tmp_path / "a.jsonl", lines(renamed))
    done = ingest(tmp_path, {"user_field": "who", "id_field": "key", "date_field": "day"})
    assert [q.question_id for q in done.users["u"].questions] == ["u-4", "u-5"]


def test_without_dates_the_order_of_the_rows_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(ROWS[:5]))
    user = ingest(tmp_path, {"date_field": None}).users["u"]
    assert [i.item_id for i in user.items] == ["u-3", "u-1", "u-5", "u-2"]
    assert [(q.question_id, q.history) for q in user.questions] == [("u-2", (0, 1, 2)), ("u-4", (0, 1, 2, 3))]


def test_what_is_set_aside(tmp_path: Path) -> None:
    bad = [
        row(None, 1),
        row("u", 1, tag="green"),
        row("u", 1, tag=None),
        row("u", 1, text=""),
        row("u", 1, item_id=None),
        row("u", 9, date="soon"),
        row("u", 1, text="other"),
        row("u", 1),
        [1],
    ]
    write(tmp_path / "a.jsonl", lines(ROWS + bad))
    done = ingest(tmp_path)
    assert {(r.record, r.reason) for r in done.rejects} == {
        ("8", "missing_user"),
        ("9:u-1", "answer_not_a_label"),
        ("10:u-1", "missing_answer"),
        ("11:u-1", "empty_text"),
        ("13:u-9", "malformed_date"),
        ("u/u-9", "undated_item"),
        ("14/u-1", "conflicting_item"),
        ("16", "malformed_item"),
    }
    assert done.counts["repeats"] == 1
    user = done.users["u"]
    assert next((i.item_id, i.date) for i in user.items) == ("u-9", "")
    assert made_id("text 1", "T text 1", "red", "2020-01-01") in [i.item_id for i in user.items]
    assert all("u-9" not in [i.item_id for i in user.history_of(q)] for q in user.questions)


def test_items_of_the_questions_day_are_in_no_history(tmp_path: Path) -> None:
    days = [1, 2, 3, 4, 4, 4]
    rows = [row("u", day, item_id=f"i{n}") for n, day in enumerate(days)]
    write(tmp_path / "a.jsonl", lines(rows))
    done = ingest(tmp_path)
    assert [i.item_id for i in done.users["u"].items] == ["i0", "i1", "i2"]
    assert [(q.question_id, q.history) for q in done.users["u"].questions] == [("i4", (0, 1, 2)), ("i5", (0, 1, 2))]
    assert [(r.record, r.reason) for r in done.rejects] == [("u/i3", "not_older")]


def test_moments_with_offsets_are_compared_in_utc(tmp_path: Path) -> None:
    dates = {
        "first": "2021-03-08T10:00:00+02:00",
        "second": "2021-03-08T09:30:00Z",
        "asked": "2021-03-10T01:00:00+09:00",  # 2021-03-09 16:00 UTC
        "late": "2021-03-09T23:30:00-08:00",  # 2021-03-10 07:30 UTC
    }
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=key, date=date) for key, date in dates.items()]))
    user = ingest(tmp_path, {"min_items": 2}).users["u"]
    assert [(q.question_id, q.date, [i.item_id for i in user.history_of(q)]) for q in user.questions] == [
        ("asked", "2021-03-09T16:00:00", ["first", "second"]),
        ("late", "2021-03-10T07:30:00", ["first", "second", "asked"]),
    ]


def test_an_item_of_the_day_does_not_serve_a_question_of_a_moment(tmp_path: Path) -> None:
    dates = ["2021-03-07", "2021-03-08", "2021-03", "2021-03-09", "2021-03-09T16:00"]
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=f"i{n}", date=d) for n, d in enumerate(dates)]))
    done = ingest(tmp_path, {"questions": 1, "min_items": 2})
    user = done.users["u"]
    assert [(q.question_id, [i.item_id for i in user.history_of(q)]) for q in user.questions] == [("i4", ["i0", "i1"])]
    assert {(r.record, r.reason) for r in done.rejects} == {("u/i2", "not_older"), ("u/i3", "not_older")}


def test_too_many_items_of_one_day_make_no_question(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=f"i{n}") for n in range(9)]))
    user = ingest(tmp_path).users["u"]
    assert (len(user.items), user.questions) == (9, ())


def test_no_question_sees_itself_or_anything_newer(tmp_path: Path) -> None:
    rows = [row("u", 1 + (n * 7) % 5, item_id=f"i{n}") for n in range(30)]
    write(tmp_path / "a.jsonl", lines(rows))
    user = ingest(tmp_path, {"questions": 6}).users["u"]
    assert len(user.questions) == 6
    for question in user.questions:
        history = user.history_of(question)
        assert all(i.date < question.date and i.item_id != question.question_id for i in history)


def test_with_questions_leaves_an_empty_user_alone() -> None:
    from hydra_ray.core.types import User

    assert with_questions(User("u", "train"), TabularConfig()) == HeldOut(User("u", "train"), "too_few_items")


def test_split_share() -> None:
    share = sum(split_of(f"u{i}", 0.3) == "test" for i in range(5000)) / 5000
    assert 0.27 < share < 0.33


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            lines(ROWS[:1]) + '{"user_id": "u", "ite',
            "line 2 is cut off or not JSON: JSON Lines has one object a line; repair or remove the line",
        ),
        ("{x}\n" + lines(ROWS), "line 1 is not JSON: JSON Lines has one object a line; repair or remove the line"),
        ("[1]\n", "line 1 is no object: JSON Lines has one object a line; repair or remove the line"),
        (
            lines([{k: v for k, v in ROWS[0].items() if k != "user_id"}]),
            "no column 'user_id' (tabular.user_field), it has date, item_id, tag, text, title: "
            "name the right one in the config",
        ),
        (
            lines([{k: v for k, v in ROWS[0].items() if k != "date"}]),
            "no column 'date' (tabular.date_field), it has item_id, tag, text, title, user_id: "
            "name the right one in the config, or tabular.date_field: null if there are no dates",
        ),
        (
            lines([{k: v for k, v in ROWS[0].items() if k != "tag"}]),
            "no column 'tag' (answer_field), it has date, item_id, text, title, user_id: "
            "name the right one in the task",
        ),
        (
            lines([{k: v for k, v in ROWS[0].items() if k != "text"}]),
            "no column 'text' (text_fields[0]), it has date, item_id, tag, title, user_id: "
            "name the right one in the task",
        ),
    ],
)
def test_broken_jsonl(tmp_path: Path, content: str, expected: str) -> None:
    write(tmp_path / "a.jsonl", content)
    with pytest.raises(UserError) as caught:
        ingest(tmp_path)
    assert str(caught.value) == f"{tmp_path}/a.jsonl: {expected}"


def test_broken_parquet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", "PAR1 this is none")
    with pytest.raises(UserError) as caught:
        ingest(tmp_path)
    assert str(caught.value).startswith(f"{path}: not a Parquet file, or cut off, at row 0 (counted from 0): ")
    assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"user_id": ["u"]}), path)
    with pytest.raises(UserError, match=r"a\.parquet: no column 'item_id' \(tabular\.id_field\), it has user_id: name"):
        ingest(tmp_path)


def test_no_files_and_no_answers(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, {"files": "*.txt"})
    assert str(caught.value) == (
        f"{tmp_path}: no file matches data.tabular.files='*.txt': data.root must hold Parquet, JSON, JSON Lines, CSV "
        "or TSV files (.parquet, .jsonl, .ndjson, .json, .csv, .tsv; text also .gz, .zst)"
    )
    write(tmp_path / "a.jsonl", lines(ROWS))
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, task=load_task("lamp_7"))
    assert str(caught.value) == (
        "data.task: items of lamp_7 have no answer_field, so no question can be made of them: "
        "give a task whose items have one"
    )


def test_surrogate_halves_become_question_marks(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines([row("u", 1, text="half \ud83d"), *ROWS]))
    assert ingest(tmp_path).rejects[0].reason == "conflicting_item"
