"""What a training worker refuses before it begins, and what it says when a step fails. No process group, no engine."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hydra_ray.config import TrainConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.errors import UserError
from hydra_ray.training.joint import worker as subject
from hydra_ray.training.joint.embedding_file import EmbeddingFile
from hydra_ray.training.joint.engine import base_bytes
from hydra_ray.training.joint.plan import Step
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.joint.worker import Worker
from hydra_ray.utils.device import CPU
from tests.training.joint.small_scorer import make_scorer

META = torch.device("meta")
STEP = Step(((4, 7), (9,)), 24)


def bare_worker(device: torch.device = CPU, **train: Any) -> Worker:
    """A worker of which nothing was loaded."""
    worker = Worker.__new__(Worker)
    worker.name, worker.rank, worker.device, worker.train = "t (linear)", 0, device, TrainConfig(**train)
    worker.inputs, worker._saved = ["a text"], 0
    worker.share = SimpleNamespace(users=lambda: dict.fromkeys(map(str, range(1000)), 0))  # type: ignore[assignment]
    return worker


def failing(error: Exception) -> Any:
    def step(*_: object) -> float:
        raise error

    return step


def test_a_step_without_memory_names_the_batch_and_the_keys_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = bare_worker(batch_size=24, gradient_accumulation_steps=2)
    monkeypatch.setattr(worker, "_step", failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")))
    with pytest.raises(UserError) as error:
        worker.step(STEP, 1, 5)
    assert str(error.value) == (
        "t (linear): out of memory on cpu in epoch 2 step 5, a batch of 24 rows of which worker 0 has 2 queries: lower "
        "train.batch_size (now 24) or raise train.gradient_accumulation_steps (now 2)"
    )


def test_other_errors_of_a_step_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = bare_worker()
    monkeypatch.setattr(worker, "_step", failing(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        worker.step(STEP, 0, 1)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("precision", "advice"),
    [
        ("fp32", "lower train.base_lr or train.user_lr"),
        ("bf16", "bf16 may have lost or overflowed what fp32 holds: set train.precision=fp32"),
    ],
)
def test_a_loss_that_is_no_number_says_where_and_what_to_change(precision: str, advice: str, loss: float) -> None:
    part = [RankingExample(user, 0, "q", "?", ("a",), (1.0,)) for user in "ba"]
    line = bare_worker(precision=precision)._diverged(part, 0, 3, loss)
    where = f"t (linear): the loss is {loss} in epoch 1 step 3 (users a, b, ...)"
    assert line == f"{where}; {advice}. It has no checkpoint yet"


@pytest.mark.parametrize("in_file", [False, True])
def test_an_embedding_that_is_no_number_is_named(in_file: bool) -> None:
    worker = bare_worker()
    embeddings = torch.tensor([[0.0], [torch.nan]])
    if in_file:
        worker.inputs = EmbeddingFile((2, 1), np.float16)
        worker.inputs.write(0, embeddings.numpy())
    else:
        worker.inputs = embeddings
    worker.share = SimpleNamespace(texts=SimpleNamespace(texts=["fine", "broken"]))  # type: ignore[assignment]
    assert worker._diverged([], 0, 1, float("nan")).endswith(
        "the embedding of 'broken' is not finite; check model.encoder"
    )


@pytest.mark.parametrize(
    ("device", "on_device", "on_host", "found"),
    [(META, 10**9, 10**9, "device"), (META, 60_000, 10**9, "host"), (CPU, 0, 10**9, None)],
)
def test_heads_live_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, on_device: int, on_host: int, found: str | None
) -> None:
    scorer = make_scorer()
    needed = base_bytes(scorer, TrainConfig(), device)
    monkeypatch.setattr(subject, "free_memory", lambda where, *_: on_host if where == CPU else on_device + needed)
    job: Any = SimpleNamespace(resources=TrainResources(num_workers=1, num_gpus=1))
    assert bare_worker(device, batch_size=8)._place(scorer, job) == found


@pytest.mark.parametrize("device", [CPU, META])
def test_heads_that_fit_nowhere_are_refused(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    scorer = make_scorer("dense")
    needed = base_bytes(scorer, TrainConfig(), device)
    monkeypatch.setattr(subject, "free_memory", lambda where, *_: needed + 100_000)
    job: Any = SimpleNamespace(resources=TrainResources(num_workers=1, num_gpus=1))
    with pytest.raises(UserError, match=r"^heads of 1,000 users of 1\d\d numbers each"):
        bare_worker(device)._place(scorer, job)
