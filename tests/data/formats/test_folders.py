"""Which files of a folder are data, and the columns that folders' names give."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import DataConfig
from hydra_ray.data.formats.folders import hive_columns, matcher
from hydra_ray.data.sources.find import find_sources
from tests.data.files import write
from tests.data.own_rows import ROWS, check, ingest, lines, without


def test_folders_of_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "part-0.jsonl", lines(ROWS[:3]))
    write(tmp_path / "a" / "part-0.jsonl", lines(ROWS[3:]))
    for hidden in ("_SUCCESS", ".a.jsonl", "_tmp/a.jsonl", "a/.ipynb_checkpoints/a.jsonl", "dataset_infos.json"):
        write(tmp_path / hidden, "no JSON")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    check(ingest(tmp_path))
    names = [source.name for source in find_sources(DataConfig(source="tabular", root="."), tmp_path)]
    assert names == ["a/b/part-0.jsonl", "a/part-0.jsonl"]


def test_the_layout_of_hugging_face(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS[:4]), tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[4:]), tmp_path / "data" / "train-00001-of-00002.parquet")
    write(tmp_path / "README.md", "about")
    write(tmp_path / "dataset_infos.json", {})
    check(ingest(tmp_path))


def test_hive_folders_are_columns(tmp_path: Path) -> None:
    for user in ("u", "short"):
        rows = [r for r in ROWS if r["user_id"] == user]
        write(tmp_path / f"user_id={user}" / "part-0.jsonl", lines(without(rows, "user_id")))
    check(ingest(tmp_path))


@pytest.mark.parametrize(
    ("relative", "columns"),
    [
        ("a.parquet", ()),
        ("year=2021/month=03/a.parquet", (("year", "2021"), ("month", "03"))),
        ("who=a%2Fb/x/a.parquet", (("who", "a/b"),)),
        ("who=__HIVE_DEFAULT_PARTITION__/a=1.parquet", (("who", None),)),
    ],
)
def test_hive_columns(relative: str, columns: Any) -> None:
    assert hive_columns(relative) == columns


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "a/b.jsonl", True),
        ("*.jsonl", "a/b.jsonl", True),
        ("*.jsonl", "a/b.jsonl.gz", False),
        ("a/*.jsonl", "a/b.jsonl", True),
        ("a/*.jsonl", "a/c/b.jsonl", False),
        ("a/**/*.jsonl", "a/b.jsonl", True),
        ("a/**/*.jsonl", "a/c/d/b.jsonl", True),
        ("part-[01].csv", "part-1.csv", True),
        ("part-[!01].csv", "part-1.csv", False),
        ("part-?.csv", "part-1.csv", True),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    assert matcher(pattern)(path) is fits
