"""What a stage needs at the same time, and what is said where that is not there."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.cli import main
from hydra_ray.config import Config
from hydra_ray.pipeline.resources import Waiting, needs_of


def needs(stage: str, **sections: Any) -> dict[str, float]:
    return needs_of(stage, Config.model_validate(sections)).required


def resources(**kinds: Any) -> dict[str, Any]:
    return {"resources": kinds}


SERVED = {"llm": {"num_gpus": 2}}


@pytest.mark.parametrize(
    ("stage", "sections", "expected"),
    [
        ("ingest", resources(score={"num_workers": 4}), {"CPU": 1}),
        ("label", resources(train={"num_workers": 9}), {"CPU": 2}),
        ("label", resources(score={"num_workers": 2}), {"CPU": 3}),
        ("label", resources(score={"num_workers": 2, "num_cpus": 0.5}), {"CPU": 2}),
        ("run", resources(train={"num_workers": 3}), {"CPU": 3}),
        ("run", resources(train={"num_workers": [2, 8]}), {"CPU": 2}),
        ("run", resources(train={"num_workers": "auto"}), {"CPU": 2}),
        ("run", resources(train={"num_workers": 4, "num_gpus": 1}), {"CPU": 4, "GPU": 4}),
        ("run", resources(fit={"num_workers": 8, "num_gpus": 0.25}), {"CPU": 9, "GPU": 2}),
        ("run", resources(train={"resources": {"fast": 2}}), {"CPU": 2, "fast": 4}),
        ("label", resources(train={"num_gpus": 1}, **SERVED), {"CPU": 2, "GPU": 2}),
        ("run", resources(train={"num_gpus": 1}, **SERVED), {"CPU": 2, "GPU": 4}),
        ("run", {"llm": {"base_url": "http://h/v1"}, **resources(**SERVED)}, {"CPU": 2}),
    ],
)
def test_what_a_stage_needs(stage: str, sections: dict[str, Any], expected: dict[str, float]) -> None:
    assert needs(stage, **sections) == expected


@pytest.mark.parametrize(
    ("stage", "more", "line"),
    [
        (
            "label",
            ["ray.num_cpus=1"],
            "2 CPUs are needed (resources.score.num_workers=1 and one more), available: 1",
        ),
        (
            "label",
            ["ray.num_cpus=2", "resources.score.num_workers=2"],
            "3 CPUs are needed (resources.score.num_workers=2 and one",
        ),
        (
            "train-reranker",
            ["ray.num_cpus=2", "resources.train.num_workers=3"],
            "3 CPUs are needed (resources.train.num_workers=3), available: 2",
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


SMALL, LARGE = {"CPU": 8.0, "memory": 1e9, "node:10.0.0.1": 1.0}, {"CPU": 4.0, "GPU": 2.0, "accelerator_type:A100": 1.0}


@pytest.mark.parametrize(
    ("kinds", "line"),
    [
        ({"train": {"num_gpus": 2}, "fit": {"num_gpus": 0.25}}, ""),
        ({"train": {"num_gpus": 1, "accelerator_type": "A100"}}, ""),
        ({"train": {"num_workers": 50}}, ""),
        (
            {"train": {"num_gpus": 4}},
            "a worker of resources.train needs 1 CPU, 4 GPU, and no node has that; "
            "the nodes have: 4 CPU, 2 GPU | 8 CPU",
        ),
        (
            {"fit": {"num_cpus": 6, "num_gpus": 1}},
            "a worker of resources.fit needs 6 CPU, 1 GPU, and no node has that; the nodes have: 4 CPU, 2 GPU | 8 CPU",
        ),
        (
            {"train": {"num_gpus": 1, "accelerator_type": "H100"}},
            "a worker of resources.train needs 1 CPU, 1 GPU, an H100, and no node has that; "
            "the nodes have: 4 CPU, 2 GPU, an A100 | 8 CPU",
        ),
        (
            {"score": {"resources": {"fast": 1}}},
            "a worker of resources.score needs 1 CPU, 1 fast, and no node has that; the nodes have: 4 CPU | 8 CPU",
        ),
    ],
)
def test_what_fits_on_no_node_is_named_with_what_the_nodes_have(kinds: dict[str, Any], line: str) -> None:
    found = needs_of("run", Config.model_validate(resources(**kinds)))
    assert found.impossible([SMALL, LARGE]) == line


def test_a_cluster_that_may_grow_is_waited_for_aloud() -> None:
    there, lines = {"CPU": 1.0}, []
    waiting = Waiting(needs_of("label", Config()), lambda: there, lines.append)
    waiting()
    waiting()
    needed = "2 CPUs are needed (resources.score.num_workers=1 and one more), available: 1"
    line = f"ray: waiting for resources: {needed}"
    assert lines == [line, line]
    there["CPU"] = 8.0
    waiting()
    waiting()
    assert lines[2:] == ["ray: the resources are there"]


def test_nothing_is_reserved_for_an_llm_that_is_not_served() -> None:
    gpus = {"ask": {"num_gpus": 0.5, "num_workers": 2}, "llm": {"num_gpus": 4}}
    serve = {"engine": "transformers", "source": "google/flan-t5-base"}
    found = needs_of("label", Config.model_validate({"llm": {"serve": serve}, "resources": gpus}))
    assert found.required["GPU"] == 1
    assert "resources.llm" not in found.workers
    assert "resources.ask" in found.workers
