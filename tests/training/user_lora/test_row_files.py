"""Rows by bucket, as files."""

from pathlib import Path

from hydra_ray.core.hashing import bucket_of
from hydra_ray.training.user_lora.row_files import read_rows, write_rows
from hydra_ray.training.user_lora.rows import LoraRow

ROWS = [LoraRow(f"u{i % 3}", f"prompt {i}\n", f"answer {i}") for i in range(9)]


def test_every_users_rows_come_back_in_order(tmp_path: Path) -> None:
    users = write_rows(tmp_path, ROWS, 4)
    assert sorted(user for ids in users.values() for user in ids) == ["u0", "u1", "u2"]
    assert all(bucket_of(user, 4) == bucket for bucket, ids in users.items() for user in ids)
    found = [row for bucket in users for row in read_rows(tmp_path, bucket)]
    for user in ("u0", "u1", "u2"):
        assert [row for row in found if row.user_id == user] == [row for row in ROWS if row.user_id == user]


def test_an_attempt_that_was_cut_short_is_written_over(tmp_path: Path) -> None:
    write_rows(tmp_path, ROWS, 1)
    write_rows(tmp_path, ROWS[:2], 1)
    assert read_rows(tmp_path, 0) == ROWS[:2]
