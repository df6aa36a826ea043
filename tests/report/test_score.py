"""`hydra-ray score` and `hydra-ray leaderboard` as commands."""

import json
import zipfile
from pathlib import Path

import pytest

from hydra_ray import tasks
from tests.report.lamp_answers import GOLDS, call, refused, run_of, write


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
    assert "there is no folder" in refused(capsys, "score", "--golds", three, "--preds", three, "--per-question", lost)
    own = tmp_path / "own.yaml"
    own.write_bytes((Path(tasks.__path__[0]) / "lamp_3.yaml").read_bytes())
    words = ("score", "--golds", three, "--preds", three, "--task", own, "--per-question", own)
    assert "own.yaml: is a file that is read; write elsewhere" in refused(capsys, *words)


def test_a_name_of_two_tasks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """LaMP_2 is movies in some releases and news in others."""
    for name, ids in (("golds", ("LaMP_2M", "LaMP_2N")), ("preds", ("LaMP_2", "LaMP_8"))):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for task_id, text in zip(ids, ("comedy", "sports"), strict=True):
                archive.write(write(tmp_path / "one.json", task_id, [text]), f"{task_id}.json")
    words = ("score", "--golds", tmp_path / "golds.zip", "--preds", tmp_path / "preds.zip", "--task")
    assert "--task LaMP_2 may be LaMP_2M and LaMP_2N; give one" in refused(capsys, *words, "LaMP_2")
    assert "LaMP_2 and LaMP_8 may both be LaMP_2M" in refused(capsys, *words, "LaMP_2M")
