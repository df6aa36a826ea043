"""What a run must have to be served: one line, exit code 2."""

import json
import shutil
from pathlib import Path

import pytest

from hydra_ray.serve.bundle import REPORT
from tests.serve.refusals import Refused


@pytest.mark.parametrize("missing", [REPORT, "steps.json", "train-adapter-0/manifest.json", "fit-reranker-0"])
def test_an_incomplete_run(refused: Refused, run: Path, missing: str) -> None:
    path = run / missing if "-0" not in missing else run.parent / "steps" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    line = refused(run, "--llm-url", "http://127.0.0.1:9/v1")
    assert str(run) in line
    assert "finish" in line


def test_a_run_of_another_version(refused: Refused, run: Path) -> None:
    report = json.loads((run / REPORT).read_text())
    report["config"]["adapter"]["chooses"] = "well"
    (run / REPORT).write_text(json.dumps(report))
    line = refused(run)
    assert line.startswith(f"{run / REPORT}: was made by another hydra_ray (adapter.chooses: ")
    (run / REPORT).write_text("{")
    assert refused(run).startswith(f"{run / REPORT}: broken")


def test_a_seed_that_was_not_trained(refused: Refused, whole: Path) -> None:
    assert refused(whole, "seed=3").startswith("seed 3: the run in")


def test_a_run_with_folds_has_no_model_of_all_users(refused: Refused, run: Path) -> None:
    report = json.loads((run / REPORT).read_text())
    report["config"]["protocol"]["folds"] = 5
    (run / REPORT).write_text(json.dumps(report))
    line = refused(run)
    assert line.startswith(f"{run}: this run tested its users fold by fold (protocol.folds=5)")
    assert "make a run to serve with protocol.folds=null" in line
