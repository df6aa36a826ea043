"""What the keys of the main job's steps are made of, without doing any."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.step import MANIFEST, StepResult, step_key
from hydra_ray.pipeline.step_settings import TUNED_BASE


def make_job(folder: Path, **changes: Any) -> tuple[Pipeline, dict[str, Any]]:
    """A job whose steps are not done, and the configs of those that it was asked for."""
    asked: dict[str, Any] = {}

    def step(name: str, code: int, config: dict[str, Any], inputs: dict[str, str], work: Any) -> StepResult:
        asked[name] = config
        asked.setdefault("inputs", []).append((name, inputs))
        return StepResult(folder / step_key(name, code, config, inputs), {"counts": {"start": "joint"}}, False)

    config = Config.model_validate(changes)
    run = SimpleNamespace(
        config=config, identity="m", task=load_task(config.data.task), root=folder, vector_cache=None, step=step
    )
    job = Pipeline(run)  # type: ignore[arg-type]
    job._chosen[Trial(0)] = UserSample(("a",), ("b",), {"a": "train", "b": "test"})
    job.ingest = lambda: StepResult(folder / "ingest", {}, True)  # type: ignore[method-assign]
    return job, asked


@pytest.mark.parametrize("features", ["none", "score"])
def test_labels_serve_whatever_the_reranker_reads_of_them(tmp_path: Path, features: str) -> None:
    asked = []
    for name in (features, "score_and_recency"):
        job, configs = make_job(tmp_path, reranker={"features": name})
        job.train("reranker", Trial(0))
        asked.append(configs["label"])
        assert configs["train-reranker"]["features"] == name
    assert asked[0] == asked[1]


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


def test_since_a_run_whose_adapter_read_other_evidence(tmp_path: Path) -> None:
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


def folded_job(folder: Path, ids: dict[str, list[str]], **changes: Any) -> tuple[Pipeline, dict[str, Any]]:
    job, asked = make_job(folder, protocol={"train_users": None, "folds": 3}, **changes)
    job._users = ids  # type: ignore[assignment]
    return job, asked


IDS = {"train": [f"a{i}" for i in range(5)], "test": [f"b{i}" for i in range(4)]}


def test_folds_share_labels_and_summaries_and_train_on_other_users_each(tmp_path: Path) -> None:
    job, asked = folded_job(tmp_path, IDS)
    for trial in job.config.protocol.trials:
        job.evaluate(trial)
    labels = list(job.results)
    assert labels[0] == "label seed 0"
    assert [label for label in labels if label.startswith("train-")] == [
        f"train-reranker seed 0 fold {n}" for n in range(3)
    ]
    assert [label for label in labels if label.startswith("summ")] == ["summarise seed 0"]
    assert [label for label in labels if label.startswith("encode-")] == ["encode-reranker seed 0"]
    assert len({result.key for result in job.results.values()}) == len(labels) == 3 + 3 * 4
    whole = {inputs["users"] for name, inputs in asked["inputs"] if name in ("label", "summarise")}
    assert len(whole) == 2  # the same users: once to learn from, once to be tested


def test_too_few_users_for_the_folds(tmp_path: Path) -> None:
    job, _ = folded_job(tmp_path, {"train": ["a"], "test": ["b"]})
    with pytest.raises(
        UserError, match="2 users with a question and its gold answer in the data cannot be cut into 3 folds"
    ):
        job.chosen(Trial(0, 2))


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
