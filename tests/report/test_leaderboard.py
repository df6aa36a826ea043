"""The upload to LaMP's leaderboard."""

import json
from pathlib import Path

import pytest

from tests.report.lamp_answers import GOLDS, call, refused, run_of, write


def test_missing_tasks_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run_of(tmp_path / name, name, GOLDS[name]) for name in ("LaMP_2", "LaMP_7")]
    packed, err = call(capsys, "leaderboard", *runs, "--out", tmp_path / "up.zip")
    assert packed["missing"] == ["LaMP_1", "LaMP_3", "LaMP_4", "LaMP_5", "LaMP_6"]
    assert err.count("\n") == 1
    assert "LaMP_1, LaMP_3, LaMP_4, LaMP_5, LaMP_6" in err


def test_runs_that_cannot_be_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (run_of(tmp_path / name, "LaMP_3", ["5"], seeds=(0, 1)) for name in ("one", "two"))
    out = ("--out", tmp_path / "up.zip")
    assert "seeds 0, 1; choose one with --seed" in refused(capsys, "leaderboard", first, *out)
    assert "one and " in refused(capsys, "leaderboard", first, second, "--seed", "1", *out)
    assert "no answers of seed 2; there are those of 0, 1" in refused(capsys, "leaderboard", first, "--seed", "2", *out)
    assert "there are hydra, zero_shot" in refused(capsys, "leaderboard", first, "--method", "bm25_k4", *out)
    assert "there is no such run" in refused(capsys, "leaderboard", tmp_path / "three", *out)
    (tmp_path / "empty").mkdir()
    assert "has no predictions yet" in refused(capsys, "leaderboard", tmp_path / "empty", *out)
    other = tmp_path / "other"
    (other / "predictions").mkdir(parents=True)
    write(other / "predictions" / "hydra_seed0.json", "my_task", ["x"])
    assert "my_task, which is no task of LaMP's" in refused(capsys, "leaderboard", other, *out)
    assert not (tmp_path / "up.zip").exists()
    whole = run_of(tmp_path / "whole", "LaMP_3", ["5"])
    written = whole / "predictions" / "hydra_seed0.json"
    assert "is a file that is read" in refused(capsys, "leaderboard", whole, "--out", written)
    movies, news = (_run_with(tmp_path / name, name, ["sports"]) for name in ("LaMP_2M", "LaMP_2N"))
    assert "LaMP_2N: two runs of LaMP_2; give one" in refused(capsys, "leaderboard", movies, news, *out)
    assert "there is no folder" in refused(capsys, "leaderboard", whole, "--out", tmp_path / "no" / "up.zip")
    nothing = _run_with(tmp_path / "nothing", "LaMP_3", ["", " "])
    assert "hydra_seed0.json: holds no answer; leave this run out" in refused(capsys, "leaderboard", nothing, *out)
    assert "LaMP_3N, which is no task" in refused(
        capsys, "leaderboard", _run_with(tmp_path / "3n", "LaMP_3N", ["5"]), *out
    )
    twice = _run_with(tmp_path / "twice", "LaMP_3", ["5"])
    entries = [{"id": "q0", "output": text} for text in ("5", "4")]
    (twice / "predictions" / "hydra_seed0.json").write_text(json.dumps({"task": "LaMP_3", "golds": entries}))
    assert "1 repeated (q0); each question may have one answer" in refused(capsys, "leaderboard", twice, *out)
    assert not (tmp_path / "up.zip").exists()


def test_empty_answers_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _run_with(tmp_path / "some", "LaMP_3", ["5", "", "4"])
    packed, err = call(capsys, "leaderboard", run, "--out", tmp_path / "up.zip")
    assert packed["questions"] == {"LaMP_3": 3}
    assert "hydra-ray: LaMP_3: 1 empty answers (q1)" in err


def _run_with(folder: Path, task_id: str, texts: list[str]) -> Path:
    """A run whose predictions are these, as they stand."""
    (folder / "predictions").mkdir(parents=True)
    write(folder / "predictions" / "hydra_seed0.json", task_id, texts)
    return folder
