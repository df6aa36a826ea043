"""On which base heads are trained and fitted."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.core.sampling import Trial
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.step import StepResult
from hydra_ray.pipeline.step_settings import TUNED_BASE
from tests.pipeline.step_keys import make_job


def start_from(job: Pipeline, start: str) -> None:
    """Lets the tuning choose a base."""
    step = job.run.step

    def chosen(name: str, *about: Any) -> StepResult:
        found = step(name, *about)
        if name.startswith("tune-"):
            (found.path / TUNED_BASE).mkdir(parents=True, exist_ok=True)
            return StepResult(found.path, {"counts": {"start": start}}, False)
        return found

    job.run.step = chosen  # type: ignore[method-assign, assignment]


def test_on_the_shared_base_training_users_are_fitted_as_well(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path)
    before = job._fit_spec("reranker", Trial(0), "", job.base("reranker", Trial(0)), ())
    assert before.base.name == "linear"
    assert not job.fits_training_users("reranker", Trial(0))
    start_from(job, "shared")
    job.results.clear()
    job.kept.clear()
    base = job.base("reranker", Trial(0))
    assert base.name == TUNED_BASE
    assert base.parent.name.startswith("tune-reranker-")
    assert job.fits_training_users("reranker", Trial(0))
    assert asked["tune-reranker"]["starts"] == ("joint", "shared")


def test_the_published_adapter_starts_from_the_joint_base(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path)
    job.tune("adapter", Trial(0), "paper")
    assert asked["tune-adapter"]["starts"] == ("joint",)
    job.tune("adapter", Trial(0))
    assert asked["tune-adapter"]["starts"] == ("joint", "shared")


@pytest.mark.parametrize(("head", "starts"), [("linear", ("joint", "shared")), ("low_rank", ("joint",))])
def test_where_heads_may_start(tmp_path: Path, head: str, starts: tuple[str, ...]) -> None:
    job, asked = make_job(tmp_path, model={"head": head})
    job.tune("reranker", Trial(0))
    assert asked["tune-reranker"]["starts"] == starts
    given, asked = make_job(tmp_path, model={"head": head}, fit={"start": "joint"})
    given.tune("reranker", Trial(0))
    assert asked["tune-reranker"]["starts"] == ("joint",)


def test_kinds_without_a_fit_are_not_tuned(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, model={"head": "shared"})
    assert job.tune("reranker", Trial(0)) is None
    assert job.base("reranker", Trial(0)).name == "shared"
    assert not any(name.startswith("tune") for name in asked)


@pytest.mark.parametrize(("now", "kept"), [({}, True), ({"batch_users": 2}, True), ({"lr": 0.5}, False)])
def test_heads_of_an_earlier_run_are_kept_where_they_are_fitted_alike(
    tmp_path: Path, now: dict[str, Any], kept: bool
) -> None:
    before, asked = make_job(tmp_path)
    before.fit("reranker", Trial(0))
    job, _ = make_job(tmp_path, fit=now)
    lines: list[str] = []
    job.run.log = lines.append  # type: ignore[method-assign]
    earlier = StepResult(tmp_path / "fit-reranker-1", {"config": asked["fit-reranker"]}, True)
    job.since = SimpleNamespace(step=lambda label: earlier)  # type: ignore[assignment]
    job.train = lambda *about: StepResult(tmp_path / "train-reranker-1", {}, True)  # type: ignore[method-assign]
    job.tune = lambda *about: None  # type: ignore[method-assign, assignment]
    specs: list[Any] = []
    make = job._fit_spec
    job._fit_spec = lambda *about: specs.append(make(*about)) or specs[-1]  # type: ignore[func-returns-value, method-assign]
    job.fit("reranker", Trial(0))
    assert (specs[-1].previous == earlier.path) is kept
    assert lines == (
        [] if kept else ["fit-reranker: fit.lr is another than in fit-reranker-1, so all users are fitted anew"]
    )
