"""Adapters choose alike in this process and on workers, a few buckets at a time."""

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hydra_ray.config import Config
from hydra_ray.config.resources import ResourcesConfig, WorkerResources
from hydra_ray.errors import UserError
from hydra_ray.pipeline.answer_workers import AnswerBuckets, AnsweredStep, Answering, answer_rows, questions_of
from hydra_ray.pipeline.job import always_shown
from hydra_ray.pipeline.llm_rows import buckets_of
from hydra_ray.report import AnswerRow
from hydra_ray.serve.bundle import read_config
from tests.api.finished_run import write_finished


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Answering:
    folder = tmp_path_factory.mktemp("answering")
    _, config = read_config(write_finished(folder))
    steps = folder / "runs" / "steps"
    base = steps / "train-adapter-0" / "linear"
    adapters: Any = {"shared": (base, None), "hydra": (base, steps / "fit-adapter-0")}
    step = AnsweredStep(steps / "evaluate-seed-0", always_shown())
    return Answering(config, 0, (step,), adapters, folder / "embeddings", frozenset())


def run_with(config: Config, score: WorkerResources, few_in_driver: bool = True) -> Any:
    """What `answer_rows` reads of a run."""
    resources = ResourcesConfig(score=score, few_in_driver=few_in_driver)
    changed = config.model_copy(update={"resources": resources})
    return SimpleNamespace(
        config=changed,
        ray=lambda: None,
        workers=lambda wanted: wanted.bounds,
        log=lambda line: None,
        again_when_lost=lambda name, work: work(),
    )


@pytest.fixture(scope="module")
def expected(answering: Answering) -> list[AnswerRow]:
    return answer_rows(run_with(answering.config, WorkerResources()), answering)


def test_in_one_process(answering: Answering, expected: list[AnswerRow]) -> None:
    assert len(expected) == questions_of(answering.steps[0].folder) == 5
    assert len({row.user_id for row in expected}) == 5
    assert all(set(row.answers) >= {"hydra", "hydra_shared"} for row in expected)


def test_a_worker_makes_the_same_rows_of_its_buckets(answering: Answering, expected: list[AnswerRow]) -> None:
    buckets = buckets_of(answering.steps[0].folder)
    worker = pickle.loads(pickle.dumps(AnswerBuckets(answering, 0.0)))
    made = worker({"number": [7, 8], "buckets": [buckets[:2], buckets[2:]]})
    assert made["number"].to_pylist() == [7, 8]
    assert [row for part in made["rows"].to_pylist() for row in pickle.loads(part)] == expected


def test_further_methods_are_joined_to_the_first_steps_questions(
    answering: Answering, expected: list[AnswerRow]
) -> None:
    first = replace(answering.steps[0], methods=("zero_shot",))
    two = replace(answering, steps=(first, replace(first, methods=("hydra",))))
    rows = answer_rows(run_with(answering.config, WorkerResources()), two)
    wanted = [{name: row.answers[name] for name in ("zero_shot", "hydra")} for row in expected]
    assert [row.answers for row in rows] == wanted


def test_a_worker_that_was_promised_a_gpu_and_has_none_says_so(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    worker = AnswerBuckets(answering, 0.5)
    with pytest.raises(UserError, match=r"^a worker was promised a GPU \(num_gpus=0\.5\)"):
        worker({"number": [0], "buckets": [[0]]})


def test_a_step_without_questions(answering: Answering, tmp_path: Path) -> None:
    assert questions_of(tmp_path) == 0
    empty = replace(answering, steps=(AnsweredStep(tmp_path, always_shown()),))
    assert answer_rows(run_with(answering.config, WorkerResources()), empty) == []


@pytest.mark.cluster
def test_workers_give_the_same_answers(answering: Answering, expected: list[AnswerRow]) -> None:
    import ray

    ray.init(
        address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="warning"
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        run = run_with(answering.config, WorkerResources(num_workers=2), few_in_driver=False)
        assert answer_rows(run, answering) == expected
        with pytest.raises(UserError, match="a worker was promised a GPU"):
            answer_rows(run_with(answering.config, WorkerResources(num_gpus=1)), answering)
    finally:
        ray.shutdown()
