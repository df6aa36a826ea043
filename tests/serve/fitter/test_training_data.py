"""What a user's heads are learned from."""

import asyncio
from pathlib import Path

import torch

from hydra_ray.models.onednn import OneDNNLinear
from hydra_ray.serve.fitter.training_data import Bases
from tests.serve.fit_world import BlackBox, World
from tests.serve.fitter.fitting import key
from tests.serve.world import make_bundle


def test_requests_go_out_together_but_no_more_than_allowed(tmp_path: Path) -> None:
    world, box = World.make(tmp_path, users=3), BlackBox()

    async def all_at_once() -> None:
        fitter = world.fitter(box, in_flight=5)
        await asyncio.gather(*(fitter.fit(key(world, i), user.items) for i, user in enumerate(world.users)))
        fitter.close()

    asyncio.run(all_at_once())
    assert box.most_in_flight == 5


def test_the_encoder_is_made_for_the_fitters_device(tmp_path: Path) -> None:
    """`meta` stands for the device. The layers that a frozen encoder has on a CPU stay there."""
    embeddings = Bases(make_bundle(tmp_path), torch.device("meta")).embeddings()
    assert embeddings is not None
    assert {parameter.device.type for parameter in embeddings.encoder.parameters()} == {"meta"}
    assert not any(isinstance(module, OneDNNLinear) for module in embeddings.encoder.modules())
