"""The files that init-task writes: never over others, and usable as they are."""

import gzip
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.config import load_config
from hydra_ray.core.tasks import load_task
from hydra_ray.data.ingest import ingest_in_process
from hydra_ray.data.sources.find import data_root

AWKWARD = ["no", "1.5", "a: b", 'say "x"', "# none", "ünï\\code"]


def csv_text(delimiter: str = ",") -> str:
    lines = [["author", "created", "note", "folder"]]
    for i in range(72):
        folder = '"' + AWKWARD[i // 3 % 6].replace('"', '""') + '"'
        lines.append([f"author {i % 3}", f"2024-01-{i // 3 + 1:02d}", f"note number {i} about this and that", folder])
    return "".join(delimiter.join(line) + "\n" for line in lines)


def test_the_pair_is_ingested_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "my notes.csv"
    rows.write_text(csv_text())
    assert main(["init-task", str(rows), "--out", str(tmp_path / "made")]) == 0
    output = capsys.readouterr().out
    assert f"{rows}: 72 rows of 3 users" in output
    assert "kind    classification: it has 6 distinct values that recur" in output
    config = load_config(tmp_path / "made" / "my_notes.yaml")
    task = load_task(config.data.task)
    assert task.name == "my_notes"
    assert sorted(task.labels) == sorted(AWKWARD)
    assert (config.data.tabular.user_field, config.data.tabular.id_field, config.data.tabular.date_field) == (
        "author",
        None,
        "created",
    )
    counts = ingest_in_process(config, task, data_root(config.data), tmp_path / "out")
    assert sum(counts["users"].values()) == 3
    assert sum(counts["questions"].values()) == 9
    assert counts["rejects"] == {}
    assert main(["run", "--config", str(tmp_path / "made" / "my_notes.yaml"), "--dry-run", f"root={tmp_path}/r"]) == 0


def test_files_that_are_there_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "notes.csv"
    rows.write_text(csv_text())
    config = tmp_path / "notes.yaml"
    config.write_text("mine")
    call = ["init-task", str(rows), "--out", str(tmp_path)]
    assert main(call) == 2
    assert f"{config}: is there already" in capsys.readouterr().err
    assert config.read_text() == "mine"
    assert not (tmp_path / "notes_task.yaml").exists()
    assert main([*call, "--force"]) == 0
    assert config.read_text() != "mine"
    assert main([*call, "--name", "other"]) == 0
    assert (tmp_path / "other_task.yaml").exists()


def test_short_histories_get_fewer_questions(tmp_path: Path) -> None:
    rows = tmp_path / "short.tsv.gz"
    lines = csv_text("\t").splitlines(keepends=True)[:13]
    rows.write_bytes(gzip.compress("".join(lines).encode()))
    assert main(["init-task", str(rows), "--out", str(tmp_path)]) == 0
    config = load_config(tmp_path / "short.yaml")
    assert (config.data.tabular.questions, config.data.tabular.min_items) == (1, 2)
    counts = ingest_in_process(config, load_task(config.data.task), data_root(config.data), tmp_path / "out")
    assert sum(counts["questions"].values()) == 3
