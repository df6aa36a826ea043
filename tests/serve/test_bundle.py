"""What a run must have to be served: one line, exit code 2."""

import json
import shutil
from pathlib import Path

import pytest

from hydra_ray.serve.bundle import REPORT, load_run_artifacts
from tests.serve.refusals import Refused


@pytest.mark.parametrize("missing", [REPORT, "steps.json", "train-adapter-0/manifest.json", "fit-reranker-0"])
def test_an_incomplete_run(refused: Refused, run: Path, missing: str) -> None:
    path = run / missing if "-0" not in missing else run.parent / "steps" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    line = refused(run, "--llm-url", "http://127.0.0.1:9/v1")
    assert str(run) in line
    assert "finish" in line


def test_the_tuning_of_another_kind_of_head_is_passed_over(run: Path) -> None:
    """A name may be given to a second run; steps of the first stay in its list."""
    steps = json.loads((run / "steps.json").read_text())
    tuned = run.parent / "steps" / "tune-left"
    (tuned / "base").mkdir(parents=True)
    (tuned / "manifest.json").write_text("{}")
    (run / "steps.json").write_text(json.dumps({**steps, "tune-adapter seed 0": "tune-left"}))
    assert load_run_artifacts(run).base["adapter"] == (tuned / "base").resolve()
    report = json.loads((run / REPORT).read_text())
    report["config"]["model"]["head"] = "shared"
    (run / REPORT).write_text(json.dumps(report))
    assert load_run_artifacts(run).base["adapter"].parent.name == "train-adapter-0"


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
