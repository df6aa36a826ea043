"""How many workers there are and what each reserves: counted, and as Ray's options."""

from typing import Any

import pytest

from hydra_ray.config import Config, load_config
from hydra_ray.config.resources import (
    Placement,
    TrainResources,
    WorkerResources,
    fitting,
    ray_options,
    reserved,
    train_scaling,
    worker_range,
)
from hydra_ray.errors import UserError

TYPED = {"num_gpus": 1, "accelerator_type": "H100", "resources": {"fast": 2}}


@pytest.mark.parametrize(
    ("wanted", "options", "reserves"),
    [
        ({}, {"num_cpus": 1.0}, {"CPU": 1.0}),
        ({"num_cpus": 0}, {"num_cpus": 0.0}, {}),
        ({"num_cpus": 0.5, "num_gpus": 0.25}, {"num_cpus": 0.5, "num_gpus": 0.25}, {"CPU": 0.5, "GPU": 0.25}),
        (
            TYPED,
            {"num_cpus": 1.0, "num_gpus": 1.0, "accelerator_type": "H100", "resources": {"fast": 2.0}},
            {"CPU": 1.0, "GPU": 1.0, "fast": 2.0, "accelerator_type:H100": 0.001},
        ),
    ],
)
def test_what_a_worker_reserves(wanted: dict[str, Any], options: dict[str, Any], reserves: dict[str, float]) -> None:
    asked = Placement.model_validate(wanted)
    assert ray_options(asked) == options
    assert reserved(asked) == reserves


@pytest.mark.parametrize(
    ("wanted", "node", "count"),
    [
        ({}, {"CPU": 8.0}, 8),
        ({"num_cpus": 0.1}, {"CPU": 1.0}, 10),
        ({"num_gpus": 0.25}, {"CPU": 8.0, "GPU": 1.0}, 4),
        ({"num_gpus": 2}, {"CPU": 8.0, "GPU": 1.0}, 0),
        (TYPED, {"CPU": 8.0, "GPU": 8.0, "fast": 5.0, "accelerator_type:H100": 1.0}, 2),
        (TYPED, {"CPU": 8.0, "GPU": 8.0, "fast": 5.0, "accelerator_type:A100": 1.0}, 0),
    ],
)
def test_how_many_workers_a_node_has_room_for(wanted: dict[str, Any], node: dict[str, float], count: int) -> None:
    assert fitting(Placement.model_validate(wanted), node) == count


@pytest.mark.parametrize(
    ("wanted", "workers"),
    [
        ({"num_workers": 3}, (3, 3)),
        ({"num_workers": [1, 8]}, (1, 8)),
        ({"num_workers": "auto"}, (1, 11)),
        ({"num_workers": "auto", "num_gpus": 0.5}, (1, 4)),
        ({"num_workers": "auto", "num_gpus": 4}, (1, 1)),
    ],
)
def test_a_number_a_range_or_what_the_cluster_has(wanted: dict[str, Any], workers: tuple[int, int]) -> None:
    nodes = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}]
    assert worker_range(WorkerResources.model_validate(wanted), lambda: nodes) == workers


def test_ray_trains_scaling() -> None:
    asked = TrainResources.model_validate({"num_workers": [1, 4], **TYPED})
    assert train_scaling(asked, (1, 4)) == {
        "num_workers": (1, 4),
        "use_gpu": True,
        "resources_per_worker": {"CPU": 1.0, "GPU": 1.0, "fast": 2.0},
        "accelerator_type": "H100",
    }
    plain = {"num_workers": 2, "use_gpu": False, "resources_per_worker": {"CPU": 1.0}}
    assert train_scaling(TrainResources(), (2, 2)) == plain


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("resources.fit.num_workers=many", "a range [fewest, most] or `auto`, this is 'many'"),
        ("resources.fit.num_workers=0", "a range [fewest, most] or `auto`, this is 0"),
        ("resources.fit.num_workers=[4, 2]", "a range [fewest, most] or `auto`, this is [4, 2]"),
        ("resources.fit.num_gpus=1.5", "num_gpus: 1.5 is neither a share of one GPU nor a number of whole ones"),
        ("resources.fit.accelerator_type=H100", "accelerator_type: H100 needs num_gpus above 0"),
        ("resources.fit.resources={GPU: 1}", "resources: GPU is not a custom resource; set num_gpus"),
        ("resources.encode.compile=true", "compile: true needs num_gpus above 0; on a CPU the encoder runs through"),
        ("resources.ask.num_workers=auto", "num_workers: auto needs num_cpus, num_gpus or resources to count by"),
    ],
)  # fmt: skip
def test_what_ray_would_refuse_or_never_schedule_is_one_line(override: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, [override])
    assert line in str(error.value)
    assert str(error.value).startswith(f"override {override!r}: resources.")


@pytest.mark.parametrize(
    ("changed", "here"),
    [
        ({}, True),
        ({"resources": {"score": {"num_gpus": 0.5}}}, False),
        ({"resources": {"score": {"resources": {"fast": 1}}}}, False),
        ({"resources": {"few_in_driver": False}}, False),
        ({"model": {"pair": "bi_encoder"}}, True),
        ({"model": {"pair": "bi_encoder", "freeze_encoder": False}}, False),
        ({"model": {"pair": "cross_encoder"}}, False),
        ({"model": {"pair": "none", "freeze_encoder": False}}, True),
        ({"ropg": {"freeze_encoder": False}}, False),
    ],
)
def test_whether_the_runs_own_process_does_little_work(changed: dict[str, Any], here: bool) -> None:
    config = Config.model_validate(changed)
    assert config.in_driver(config.resources.score) is here
