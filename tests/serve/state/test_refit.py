"""What `refit` refuses before anything is paid for: one line, exit code 2."""

import json
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.serve.bundle import load_run_artifacts
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.refit import LOCK
from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.run_folder import NAME, write_run
from tests.serve.state.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a state in it."""
    run = write_run(tmp_path_factory.mktemp("served"))
    init_state(load_run_artifacts(run), ServiceState(run / "serving"), "me", lambda line: None)
    return run


def refused(served: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    given = [f"root={served.parent}", "name=tonight", "data.source=synthetic", "llm.base_url=http://127.0.0.1:9/v1"]
    capsys.readouterr()
    assert main(["refit", *given, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "refit: whose service is it? name the run that is served with --base-run"),
        (["--base-run", "none"], "none/steps.json is missing; give the name or folder of a run"),
        (["--base-run", NAME, f"name={NAME}"], f"name: {NAME} is the base run itself"),
        (["--base-run", NAME, "--state", "/nowhere"], r"/nowhere: holds no service's state"),
        (["--base-run", NAME, "protocol.folds=3"], "protocol.folds: the served run has none"),
        (
            ["--base-run", NAME, "--database", "postgresql://hydra@db/hydra"],
            "keeps its users in files: stop the service",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    served: Path, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(served, *words, capsys=capsys)
    assert not (served / "serving" / LOCK).exists()


def test_the_state_of_another_run_is_refused(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = served.parent / "other"
    write_steps(other, json.loads((served / "steps.json").read_text()))
    (other / "report.json").write_text((served / "report.json").read_text())
    line = refused(served, "--base-run", "other", "--state", str(served / "serving"), capsys=capsys)
    assert f"is of run '{NAME}', not of 'other'" in line


def test_a_database_that_is_away_is_one_line_and_nothing_is_begun(
    postgres: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path)
    url = postgres.new_url()
    init_state(load_run_artifacts(run), ServiceState(run / "serving", url), "me", lambda line: None)
    steps = set((run.parent / "steps").iterdir())
    postgres.stop("immediate")
    try:
        line = refused(run, "--base-run", NAME, "--database", url, capsys=capsys)
    finally:
        postgres.start()
    assert "cannot be used" in line
    assert set((run.parent / "steps").iterdir()) == steps
