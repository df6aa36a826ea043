"""What a stage needs at the same time, and what is said where that is not there."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.cli import main
from hydra_ray.config import Config
from hydra_ray.pipeline.resources import Waiting, needs_of


def needs(stage: str, **sections: Any) -> tuple[int, int]:
    found = needs_of(stage, Config.model_validate(sections))
    return found.cpus, found.gpus


@pytest.mark.parametrize(
    ("stage", "sections", "expected"),
    [
        ("ingest", {"ray": {"num_actors": 4}}, (1, 0)),
        ("label", {"train": {"num_workers": 9}}, (2, 0)),
        ("label", {"ray": {"num_actors": 2}}, (3, 0)),
        ("run", {"train": {"num_workers": 3}}, (3, 0)),
        ("run", {"train": {"num_workers": 8, "min_workers": 2}}, (2, 0)),
        ("run", {"train": {"num_workers": 4, "gpu": True}}, (2, 4)),
        (
            "label",
            {"llm": {"serve": {"accelerator": "gpu", "tensor_parallel_size": 2}}, "train": {"gpu": True}},
            (2, 2),
        ),
        ("run", {"llm": {"base_url": "http://h/v1", "serve": {"accelerator": "gpu"}}}, (2, 0)),
    ],
)
def test_what_a_stage_needs(stage: str, sections: dict[str, Any], expected: tuple[int, int]) -> None:
    assert needs(stage, **sections) == expected


@pytest.mark.parametrize(
    ("stage", "more", "line"),
    [
        ("label", ["ray.num_cpus=1"], "2 CPUs are needed (ray.num_actors=1 and one more), available: 1"),
        ("label", ["ray.num_cpus=2", "ray.num_actors=2"], "3 CPUs are needed (ray.num_actors=2 and one"),
        (
            "train-reranker",
            ["ray.num_cpus=2", "train.num_workers=3"],
            "3 CPUs are needed (train.num_workers=3), available: 2",
        ),
    ],
)
def test_a_local_cluster_that_is_too_small_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stage: str, more: list[str], line: str
) -> None:
    assert main([stage, f"root={tmp_path}", *more]) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert line in shown
    assert not list(tmp_path.iterdir())


def test_a_cluster_that_may_grow_is_waited_for_aloud() -> None:
    there, lines = {"CPU": 1.0}, []
    waiting = Waiting(needs_of("label", Config()), lambda: there, lines.append)
    waiting()
    waiting()
    line = "ray: waiting for resources: 2 CPUs are needed (ray.num_actors=1 and one more), available: 1"
    assert lines == [line, line]
    there["CPU"] = 8.0
    waiting()
    waiting()
    assert lines[2:] == ["ray: the resources are there"]
