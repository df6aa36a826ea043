"""Reading back, partitions that are split, sampling."""

from pathlib import Path

import pytest

from hydra_ray.data.reader import list_users, read_counts, read_users
from hydra_ray.errors import UserError
from tests.data.files import RATING, ingest_pure, lamp_root
from tests.data.sixty_users import IDS


def test_users_by_split_and_by_id(out: Path) -> None:
    assert {u.user_id for u in read_users(out)} == set(IDS)
    assert {u.user_id for u in read_users(out, "test")} == set(IDS[40:])
    assert {u.user_id for u in read_users(out, "train", ["u3", "u50", "nobody"])} == {"u3"}
    assert {u.user_id for u in read_users(out, user_ids={"u3", "u50"})} == {"u3", "u50"}
    assert list(read_users(out, user_ids=[])) == []
    assert [u.user_id for u in read_users(out)] == [u.user_id for u in read_users(out)]


def test_listing_has_the_lengths(out: Path) -> None:
    table = list_users(out)
    assert table.column_names == ["user_id", "split", "n_items", "n_questions"]
    rows = {row["user_id"]: row for row in table.to_pylist()}
    assert set(rows) == set(IDS)
    assert rows["u3"] == {"user_id": "u3", "split": "train", "n_items": 3, "n_questions": 1}
    assert rows["u50"]["n_items"] == 1


def test_a_question_without_a_gold_answer_is_listed_as_it_is_answered(tmp_path: Path) -> None:
    ingest_pure(lamp_root(tmp_path, dev_golds=False), RATING, tmp_path / "out")
    rows = {row["split"]: row["n_questions"] for row in list_users(tmp_path / "out").to_pylist()}
    assert rows == {"train": 1, "test": 1}


def test_not_an_ingested_folder(tmp_path: Path) -> None:
    for read in (read_counts, list_users, lambda d: list(read_users(d))):
        with pytest.raises(UserError) as caught:
            read(tmp_path)
        assert str(caught.value) == f"{tmp_path}: no ingested data set (no counts.json): run the ingest step first"
