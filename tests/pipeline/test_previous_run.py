"""What a fit takes over from an earlier run, and what it does not."""

import json
from pathlib import Path

import pytest

from hydra_ray.core.sampling import Trial
from hydra_ray.errors import UserError
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.step import MANIFEST
from tests.pipeline.step_keys import make_job


def test_since_a_run_whose_reranker_read_other_numbers(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, reranker={"features": "score"})
    job.train("reranker", Trial(0))
    step = tmp_path / "steps" / "train-reranker-0"
    step.mkdir(parents=True)
    (step / MANIFEST).write_text(json.dumps({"config": asked["train-reranker"]}))
    write_steps(tmp_path / "old", {"train-reranker seed 0": step.name})
    later, _ = make_job(tmp_path, reranker={"features": "score_and_recency"}, fit={"base_run": "old"})
    with pytest.raises(
        UserError, match=r"was trained with features=score, this config says score_and_recency; leave fit\.base_run out"
    ):
        later.train("reranker", Trial(0))


def test_since_a_run_keeps_its_topics_too(tmp_path: Path) -> None:
    """The bases have learned to read them; new records must not change what they say."""
    job, asked = make_job(tmp_path, adapter={"topic_classifier": True})
    job.topics(Trial(0))
    step = tmp_path / "steps" / "topics-0"
    step.mkdir(parents=True)
    (step / MANIFEST).write_text(json.dumps({"config": asked["topics"]}))
    write_steps(tmp_path / "old", {"topics seed 0": step.name})
    later, of_later = make_job(tmp_path, adapter={"topic_classifier": True}, fit={"base_run": "old"})
    found = later.topics(Trial(0))
    assert found is not None
    assert found.path == step
    assert "topics" not in of_later
    other, _ = make_job(
        tmp_path, adapter={"topic_classifier": True}, fit={"base_run": "old"}, model={"encoder": "elsewhere/another"}
    )
    with pytest.raises(UserError, match=r"topics-0 was made with encoder=.*, this config says elsewhere/another"):
        other.topics(Trial(0))


def test_since_a_run_whose_adapter_read_other_features(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, adapter={"history_similarity": True})
    job.train("adapter", Trial(0))
    for name in ("train-reranker", "tune-reranker", "fit-reranker", "generate", "train-adapter"):
        step = tmp_path / "steps" / f"{name}-0"
        step.mkdir(parents=True)
        (step / MANIFEST).write_text(json.dumps({"config": asked[name], "counts": {"start": "joint"}}))
        write_steps(tmp_path / "old", {f"{name} seed 0": step.name})
    same, _ = make_job(tmp_path, adapter={"history_similarity": True}, fit={"base_run": "old"})
    same.run.log = lambda line: None  # type: ignore[method-assign]
    assert same.train("adapter", Trial(0)).key == "train-adapter-0"
    other, _ = make_job(tmp_path, fit={"base_run": "old"})
    with pytest.raises(
        UserError, match=r"train-adapter-0 was trained with history_similarity=True, this config says False"
    ):
        other._trained_before("adapter", Trial(0))


def test_since_a_run_without_topics(tmp_path: Path) -> None:
    write_steps(tmp_path / "old", {})
    later, _ = make_job(tmp_path, adapter={"topic_classifier": True}, fit={"base_run": "old"})
    with pytest.raises(UserError, match=r"old was trained with adapter\.topic_classifier=false: set it to false"):
        later.topics(Trial(0))
    without, _ = make_job(tmp_path, fit={"base_run": "old"})
    assert without.topics(Trial(0)) is None
