"""What the keys of the main job's steps are made of, without doing any."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.pipeline.job import Chosen, Job
from hydra_ray.pipeline.since import write_steps
from hydra_ray.pipeline.step import MANIFEST, StepResult, step_key


def make_job(folder: Path, **changes: Any) -> tuple[Job, dict[str, Any]]:
    """A job whose steps are not done, and the configs of those that it was asked for."""
    asked: dict[str, Any] = {}

    def step(name: str, code: int, config: dict[str, Any], inputs: dict[str, str], work: Any) -> StepResult:
        asked[name] = config
        return StepResult(folder / step_key(name, code, config, inputs), {}, False)

    config = Config.model_validate(changes)
    run = SimpleNamespace(
        config=config, identity="m", task=load_task(config.data.task), root=folder, vector_cache=None, step=step
    )
    job = Job(run)  # type: ignore[arg-type]
    job._chosen[0] = Chosen(("a",), ("b",))
    job.ingest = lambda: StepResult(folder / "ingest", {}, True)  # type: ignore[method-assign]
    return job, asked


@pytest.mark.parametrize(
    ("said", "meant", "of_label"),
    [(False, "none", {}), (True, "score", {}), ("score_and_recency",) * 2 + ({"recency": True},)],
)
def test_labels_of_before_there_was_recency_are_kept_for_whoever_does_not_read_it(
    tmp_path: Path, said: bool | str, meant: str, of_label: dict[str, bool]
) -> None:
    job, asked = make_job(tmp_path, reranker={"evidence": said})
    job.train("reranker", 0)
    assert {name: value for name, value in asked["label"].items() if name in ("evidence", "recency")} == of_label
    assert asked["train-reranker"]["evidence"] == meant


def test_since_a_run_whose_reranker_read_other_numbers(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, reranker={"evidence": "score"})
    job.train("reranker", 0)
    step = tmp_path / "steps" / "train-reranker-0"
    step.mkdir(parents=True)
    (step / MANIFEST).write_text(json.dumps({"config": asked["train-reranker"]}))
    write_steps(tmp_path / "old", {"train-reranker seed 0": step.name})
    later, _ = make_job(tmp_path, reranker={"evidence": "score_and_recency"}, fit={"since": "old"})
    with pytest.raises(
        UserError, match=r"was trained with evidence=score, this config says score_and_recency; leave fit\.since out"
    ):
        later.train("reranker", 0)
