"""From data.root to the files that are read."""

from pathlib import Path

import pytest

from hydra_ray.config import DataConfig
from hydra_ray.data.sources.find import find_sources
from hydra_ray.errors import UserError
from tests.data.files import write
from tests.data.own_rows import ROWS, lines


def test_one_file(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", "no JSON")
    path = write(tmp_path / "a.jsonl", lines(ROWS))
    (source,) = find_sources(DataConfig(source="tabular", root=str(path)), path)
    assert (source.path, source.name) == (path, "a.jsonl")
    with pytest.raises(UserError, match=r"a.txt: unknown form: data.root must be, or hold, Parquet, JSON, "):
        find_sources(DataConfig(source="tabular", root="."), write(tmp_path / "a.txt", "x"))
    with pytest.raises(UserError, match=r"none: no such file or folder: data.root must be, or hold, Parquet"):
        find_sources(DataConfig(source="tabular", root="."), tmp_path / "none")


def test_the_runs_folder_is_not_data(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(ROWS))
    write(tmp_path / "runs" / "steps" / "b.jsonl", "no JSON")
    sources = find_sources(DataConfig(source="tabular", root="."), tmp_path, skip=tmp_path / "runs")
    assert [source.name for source in sources] == ["a.jsonl"]
    assert (
        len(find_sources(DataConfig(source="tabular", root="."), tmp_path / "runs" / "steps", tmp_path / "runs")) == 1
    )
