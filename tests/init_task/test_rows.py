"""The rows that are looked at."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.cli import main
from hydra_ray.config import load_config
from hydra_ray.core.tasks import load_task
from hydra_ray.data.ingest import ingest_in_process
from hydra_ray.data.sources.find import data_root


def test_parquet_with_timestamps(tmp_path: Path) -> None:
    made = [
        {
            "user": f"u{i % 2}",
            "at": datetime(2024, 1, 1, i, tzinfo=UTC),
            "review": f"review {i} of it",
            "stars": i % 5 + 1,
        }
        for i in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "reviews.parquet")
    assert main(["init-task", str(tmp_path / "reviews.parquet"), "--out", str(tmp_path)]) == 0
    config = load_config(tmp_path / "reviews.yaml")
    task = load_task(config.data.task)
    assert (task.kind, task.labels, config.data.tabular.date_field) == ("rating", ("1", "2", "3", "4", "5"), "at")
    counts = ingest_in_process(config, task, data_root(config.data), tmp_path / "out")
    assert (counts["rejects"], sum(counts["questions"].values())) == ({}, 6)


def test_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.csv").write_text("user,text\n")
    assert main(["init-task", str(tmp_path / "empty.csv"), "--out", str(tmp_path)]) == 2
    assert "holds no rows" in capsys.readouterr().err
    for name, content, expected in (
        (
            "latin.csv",
            "user,text\nu,caf\xe9\n".encode("latin-1"),
            "line 2 is not UTF-8; no row can be read: convert",
        ),
        (
            "lists.jsonl",
            b'[{"user": "u"}]\n',
            "line 1 is no object; a JSON file is a list of objects, JSON Lines",
        ),
        ("cut.jsonl", b'{"user": "u"', "line 1 is cut off or not JSON; no row can be read: repair it"),
        ("nested.json", b'{"rows": [1, 2]}', "the rows have no column of texts or numbers"),
    ):
        (tmp_path / name).write_bytes(content)
        assert main(["init-task", str(tmp_path / name), "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
    file = tmp_path / "empty.csv"
    assert main(["init-task", str(file), "--out", str(file)]) == 2
    assert "empty.csv: is a file: give a folder" in capsys.readouterr().err
    assert main(["init-task", str(tmp_path / "none.csv"), "--out", str(tmp_path)]) == 2
    assert "no such file" in capsys.readouterr().err
