"""Which steps a stage asks for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.core.sampling import Trial
from hydra_ray.pipeline.stages import PER_TRIAL, _show

TRIAL = Trial(3)


class Job:
    """Notes what is asked of it."""

    variants = ("paper", "own")
    further_methods = ("recency_k1", "rrf_k4")

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *words: self.asked.append((name, *words))


@pytest.mark.parametrize(
    ("stage", "steps"),
    [
        ("label", [("label", TRIAL)]),
        ("train-reranker", [("train", "reranker", TRIAL)]),
        ("generate", [("generate", TRIAL)]),
        ("train-adapter", [("train", "adapter", TRIAL, "paper"), ("train", "adapter", TRIAL, "own")]),
        (
            "fit-users",
            [("fit", "reranker", TRIAL), ("fit", "adapter", TRIAL, "paper"), ("fit", "adapter", TRIAL, "own")],
        ),
        ("evaluate", [("evaluate", TRIAL), ("method", TRIAL, "recency_k1"), ("method", TRIAL, "rrf_k4")]),
    ],
)
def test_what_a_stage_needs(stage: str, steps: list[tuple[Any, ...]]) -> None:
    job: Any = Job()
    PER_TRIAL[stage](job, TRIAL)
    assert job.asked == steps


def test_a_run_without_gold_answers_says_where_its_answers_are(capsys: pytest.CaptureFixture[str]) -> None:
    job: Any = SimpleNamespace(run=SimpleNamespace(folder=Path("runs/mine")))
    _show(job, {"unscored": 12})
    out = capsys.readouterr().out
    assert "nothing is scored" in out
    assert "12 answers by every method: runs/mine/predictions" in out
