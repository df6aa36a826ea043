"""The Parquet files of users."""

from pathlib import Path


def test_one_file_a_bucket(out: Path) -> None:
    names = sorted(str(path.relative_to(out)) for path in (out / "users").rglob("*.parquet"))
    assert names == [f"users/bucket={b:05d}/part-0.parquet" for b in range(4)]
