"""The files of a report, and prediction files."""

import json
from pathlib import Path

from hydra_ray.report import AnswerRow, write_report
from hydra_ray.report.write import write_predictions
from tests.report.made_up import TAGGING, made_up_rows, report_of


def test_files(tmp_path: Path) -> None:
    rows = made_up_rows(TAGGING, users=3)
    report = report_of(rows)
    write_report(tmp_path / "run", report, TAGGING, rows)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
        "predictions",
    }
    assert len(list((tmp_path / "run" / "predictions").iterdir())) == 3 * len(report["methods"])


def test_predictions_hold_exactly_the_golds_ids(tmp_path: Path) -> None:
    rows = [
        AnswerRow(7, f"u{i}", f"q{i}", "amber", 3, {"hydra": answer})
        for i, answer in enumerate(["Tag: Amber", None, "?"])
    ]
    (path,) = write_predictions(tmp_path, TAGGING, rows[::-1])
    assert path.name == "hydra_seed7.json"
    golds = [{"id": "q0", "output": "amber"}, {"id": "q1", "output": ""}, {"id": "q2", "output": ""}]
    assert json.loads(path.read_text()) == {"task": "synthetic_tagging", "golds": golds}


def test_question_ids_that_users_share_are_told_apart(tmp_path: Path) -> None:
    rows = [AnswerRow(0, user, "1", "amber", 3, {"hydra": "amber"}) for user in ("a", "b")]
    (path,) = write_predictions(tmp_path, TAGGING, rows, "LaMP_2")
    written = json.loads(path.read_text())
    assert [gold["id"] for gold in written["golds"]] == ["a:1", "b:1"]
    assert written["task"] == "LaMP_2"
