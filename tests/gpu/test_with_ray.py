"""Ray gives workers the device, and shares of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hydra_ray.cluster import shutdown_ray
from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.config.resources import Placement, TrainResources, ray_options
from tests.training.tiny import make_encoder, make_job, make_ranking_examples

pytestmark = [pytest.mark.gpu, pytest.mark.cluster]
ray = pytest.importorskip("ray")


@pytest.fixture
def local_ray(device: torch.device):
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="warning")
    yield
    shutdown_ray()


def where(num_gpus: float) -> tuple[str, int]:
    from hydra_ray.utils.device import free_memory, worker_device

    device = worker_device(num_gpus)
    return device.type, free_memory(device, num_gpus)


def test_workers_share_a_device_by_fraction(device: torch.device, local_ray: None) -> None:
    half = ray.remote(where).options(**ray_options(Placement(num_gpus=0.5)))
    (one, free), (other, _) = ray.get([half.remote(0.5), half.remote(0.5)])
    _, total = torch.accelerator.get_memory_info(device.index)
    assert one == other == device.type
    assert free <= total / 2
    plain = ray.remote(where).options(**ray_options(Placement()))
    assert ray.get(plain.remote(0))[0] == "cpu"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_on_the_device_ends_where_one_on_the_cpu_does(
    device: torch.device, local_ray: None, tmp_path: Path, precision: str
) -> None:
    from hydra_ray.training.joint.trainer import train

    model = ModelConfig(encoder=str(make_encoder(tmp_path / "encoder")), pair="bi_encoder", pair_dim=16, max_tokens=32,
                        dropout=0.0)  # fmt: skip
    make_ranking_examples(tmp_path / "ranking_examples")
    losses = []
    for name, num_gpus, number in (("cpu", 0, "fp32"), ("gpu", 1, precision)):
        job = make_job(
            tmp_path, model, TrainConfig(epochs=2, batch_size=24, precision=number), "linear", tmp_path / name
        )
        job = replace(job, resources=TrainResources(num_workers=1, num_gpus=num_gpus))
        losses.append(train(job, 16, tmp_path / f"{name}-out")["loss_linear"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if precision == "fp32" else 0.03)
