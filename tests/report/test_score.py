"""`hydra-ray score` and `hydra-ray leaderboard` as commands."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.cli import main
from hydra_ray.core.tasks import load_task
from hydra_ray.report.rows import AnswerRow
from hydra_ray.report.write import write_predictions

GOLDS = {
    "LaMP_1": ["[1]", "[2]"],
    "LaMP_2": ["comedy", "classic"],
    "LaMP_3": ["5", "2"],
    "LaMP_4": ["The end of it", "A start"],
    "LaMP_5": ["On graphs", "On trees"],
    "LaMP_6": ["Lunch", "Re: lunch"],
    "LaMP_7": ["good night all", "so tired"],
}


def write(path: Path, task_id: str, texts: list[str]) -> Path:
    entries = [{"id": f"q{i}", "output": text} for i, text in enumerate(texts)]
    path.write_text(json.dumps({"task": task_id, "golds": entries}))
    return path


@pytest.fixture
def golds(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "golds.zip", "w") as archive:
        for task_id, texts in GOLDS.items():
            archive.write(write(tmp_path / f"{task_id}_golds.json", task_id, texts), f"golds/{task_id}.json")
    return tmp_path / "golds.zip"


def run_of(folder: Path, lamp_id: str, answers: list[str], seeds: tuple[int, ...] = (0,)) -> Path:
    """A finished run's folder, as far as its predictions go."""
    name = {"LaMP_2": "lamp_2m"}.get(lamp_id, lamp_id.lower())
    rows = [
        AnswerRow(seed, f"u{i}", f"q{i}", "", 3, {"hydra": text, "zero_shot": "x"}, {}, frozenset(), False)
        for seed in seeds
        for i, text in enumerate(answers)
    ]
    write_predictions(folder / "predictions", load_task(name), rows, lamp_id)
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[Any, str]:
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_what_is_packed_is_scored(tmp_path: Path, golds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run_of(tmp_path / f"run_{task_id}", task_id, texts) for task_id, texts in GOLDS.items()]
    packed, err = call(capsys, "leaderboard", *runs, "--out", tmp_path / "up.zip")
    assert packed == {"file": str(tmp_path / "up.zip"), "questions": dict.fromkeys(GOLDS, 2), "missing": []}
    assert err == ""
    found, _ = call(capsys, "score", "--golds", golds, "--preds", tmp_path / "up.zip", "--mode", "lamp")
    assert list(found) == list(GOLDS)
    perfect = {"accuracy": 1.0, "MAE": 0.0, "RMSE": 0.0, "rouge-1": 1.0, "rouge-L": 1.0}
    for task_id, scores in found.items():
        assert (scores["task"], scores["questions"], scores["unreadable"]) == (task_id, 2, 0)
        metrics = dict(scores["metrics"])
        # Two of 15 movie tags occur: the mean over all is 2 / 15.
        assert metrics.pop("f1", 1.0) == pytest.approx(2 / 15 if task_id == "LaMP_2" else 1.0)
        assert metrics == {name: perfect[name] for name in metrics}
    again = tmp_path / "again.zip"
    call(capsys, "leaderboard", *reversed(runs), "--out", again)
    assert again.read_bytes() == (tmp_path / "up.zip").read_bytes()


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
    assert "can be written" in refused(capsys, "leaderboard", whole, "--out", tmp_path / "no" / "up.zip")


def test_one_task_of_several_and_every_questions_scores(
    tmp_path: Path, golds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preds = write(tmp_path / "preds.json", "LaMP_3", ["4", "none"])
    listed = tmp_path / "questions.json"
    words = ("score", "--golds", golds, "--preds", preds, "--task", "LaMP_3", "--per-question", listed)
    found, err = call(capsys, *words)
    assert found == {
        "task": "LaMP_3", "mode": "ours", "questions": 2, "unreadable": 1, "metrics": {"MAE": 2.0, "RMSE": 5**0.5},
    }  # fmt: skip
    assert "LaMP_3: 1 without a number on the scale (q1)" in err
    questions = json.loads(listed.read_text())
    assert [row["absolute_error"] for row in questions["LaMP_3"]] == [1.0, 3.0]


def test_the_difference_to_other_predictions_is_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golds = write(tmp_path / "golds.json", "LaMP_1", ["[1]"] * 6)
    good = write(tmp_path / "good.json", "LaMP_1", ["[1]"] * 6)
    bad = write(tmp_path / "bad.json", "LaMP_1", ["[2]"] * 6)
    found, _ = call(capsys, "score", "--golds", golds, "--preds", good, "--against", bad)
    test = found["against"]["tests"]["accuracy"]
    assert found["against"]["metrics"]["accuracy"] == 0
    assert (test["difference"], test["p"]) == (1.0, pytest.approx(2 / 2**6))


def test_files_that_do_not_fit_are_one_line(tmp_path: Path, golds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three = write(tmp_path / "three.json", "LaMP_3", ["5", "2"])
    shown = refused(capsys, "score", "--golds", golds, "--preds", three)
    assert "lacks LaMP_1, LaMP_2, LaMP_4" in shown
    assert "also has LaMP_1" in refused(capsys, "score", "--golds", three, "--preds", golds)
    four = write(tmp_path / "four.json", "LaMP_4", ["5", "2"])
    assert "holds outputs of LaMP_4" in refused(capsys, "score", "--golds", three, "--preds", four)
    assert "holds no outputs of LaMP_9" in refused(
        capsys, "score", "--golds", golds, "--preds", golds, "--task", "LaMP_9"
    )
    short = write(tmp_path / "short.json", "LaMP_3", ["5"])
    assert "1 missing (q1)" in refused(capsys, "score", "--golds", three, "--preds", short)
    lost = tmp_path / "no" / "q.json"
    assert "can be written" in refused(capsys, "score", "--golds", three, "--preds", three, "--per-question", lost)
