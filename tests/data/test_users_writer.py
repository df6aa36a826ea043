"""The Parquet files of users."""

from pathlib import Path

import pytest

from tests.data.files import RATING, golds, ingest_pure, item, lamp_root, question

IDS = [f"u{i}" for i in range(60)]


def make_root(root: Path) -> Path:
    train = [question(u, [item(f"{u}-{n}", f"text {n}") for n in range(3)], user_id=u) for u in IDS[:40]]
    dev = [question(u, [item(f"{u}-0")], user_id=u) for u in IDS[40:]]
    return lamp_root(root, train, golds(dict.fromkeys(IDS[:40], "5")), dev, golds(dict.fromkeys(IDS[40:], "4")))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    ingest_pure(make_root(tmp_path), RATING, tmp_path / "out", buckets=4)
    return tmp_path / "out"


def test_one_file_a_bucket(out: Path) -> None:
    names = sorted(str(path.relative_to(out)) for path in (out / "users").rglob("*.parquet"))
    assert names == [f"users/bucket={b:05d}/part-0.parquet" for b in range(4)]
