"""One reader for every layout."""

import json
from pathlib import Path

import pytest

from hydra_ray.config import DataConfig, TabularConfig
from hydra_ray.data.formats.columns import Columns
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources.find import find_sources
from hydra_ray.data.sources.source_reader import SourceReader
from tests.data.files import NOTES, RATING, lamp_root
from tests.data.own_rows import ROWS, lines


def test_lamp_by_question(tmp_path: Path) -> None:
    root = lamp_root(tmp_path)
    sources = find_sources(DataConfig(source="lamp", root=str(root)), root)
    rows = [row for source in sources for row in SourceReader(RATING, TabularConfig()).scan(source)]
    assert [(row.user_id, row.split) for row in rows if isinstance(row, SourceRow)] == [
        ("q:train:1", "train"), ("q:dev:2", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_tables_by_row_and_their_columns_last(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(lines(ROWS) if name.endswith("l") else json.dumps(ROWS))
    (source,) = find_sources(DataConfig(source="tabular", root=str(tmp_path)), tmp_path)
    *rows, columns = SourceReader(NOTES, TabularConfig()).scan(source)
    assert [row.user_id for row in rows if isinstance(row, SourceRow)] == [row["user_id"] for row in ROWS]
    assert isinstance(columns, Columns)
