"""A finished run, found."""

from pathlib import Path

import pytest

import hydra_ray
from tests.api.finished_run import write_finished


def test_a_run_is_found_by_its_name(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder.parent.parent)
    assert hydra_ray.load_run("quickstart").folder == run_folder
    assert hydra_ray.load_run("runs/quickstart").name == "quickstart"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "report.json").unlink(), "report.json: No such file or directory; the run is incomplete"),
        (lambda run: (run / "report.json").write_text('{"config": {"no": 1}}'), "made by another hydra_ray"),
        (lambda run: (run / "steps.json").unlink(), "steps.json: is missing; finish the run"),
    ],
)
def test_an_unfinished_run_is_one_clear_error(tmp_path: Path, spoil: object, message: str) -> None:
    run = write_finished(tmp_path)
    spoil(run)  # type: ignore[operator]
    with pytest.raises(hydra_ray.UserError, match=message):
        hydra_ray.load_run(run).predictions()


def test_what_is_not_there(run_folder: Path) -> None:
    with pytest.raises(hydra_ray.UserError, match="nowhere: there is no such run; give a run's folder"):
        hydra_ray.load_run("nowhere")
    with pytest.raises(hydra_ray.UserError, match=r"no answers of a method 'magic'; there are .*hydra"):
        hydra_ray.load_run(run_folder).predictions("magic")
