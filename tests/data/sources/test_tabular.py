"""A user's own rows, in JSON Lines and Parquet, and the questions made of them."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.data.formats.fields import made_id
from hydra_ray.errors import UserError
from tests.data.files import write
from tests.data.own_rows import ROWS, check, ingest, lines, row


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
