"""Columns that rows have, or lack."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from tests.data.files import write
from tests.data.own_rows import ROWS, ingest, lines, row, without


def test_the_columns_of_all_rows_count_not_the_first_ones(tmp_path: Path) -> None:
    rows = [dict(r) for r in ROWS[:5]]
    del rows[0]["date"]
    write(tmp_path / "a.jsonl", lines(rows))
    done = ingest(tmp_path)
    user = done.users["u"]
    assert [(i.item_id, i.date) for i in user.items] == [
        ("u-3", ""), ("u-1", "2020-01-01"), ("u-2", "2020-01-02"), ("u-4", "2020-01-04"), ("u-5", "2020-01-05"),
    ]  # fmt: skip
    assert user.questions == ()
    assert [(r.record, r.reason) for r in done.rejects] == [("u/u-3", "undated_item")]


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "who,text\nu,a\n")
    with pytest.raises(UserError) as caught:
        ingest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/a.csv: no column 'user_id' (tabular.user_field), it has text, who: name the right one in the "
        "config; nor has it 'item_id' (tabular.id_field) or 'tag' (answer_field) or 'date' (tabular.date_field)"
    )


def test_a_column_may_be_in_other_files_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(without([row("u", 9)], "date")))
    write(tmp_path / "b.jsonl", lines(ROWS))
    assert [q.question_id for q in ingest(tmp_path).users["u"].questions] == ["u-4", "u-5"]
