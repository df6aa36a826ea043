"""What a base takes of a device's memory."""

import pytest
import torch

from hydra_ray.config import TrainConfig
from hydra_ray.errors import UserError
from hydra_ray.training.joint.engine import base_bytes, check_fits
from hydra_ray.utils.device import CPU
from tests.training.joint.small_scorer import make_scorer

META = torch.device("meta")


def test_what_the_base_takes() -> None:
    scorer = make_scorer()
    count = sum(parameter.numel() for parameter in scorer.parameters())
    assert scorer.interaction is not None
    frozen = sum(parameter.numel() for parameter in scorer.interaction.parameters())
    assert [base_bytes(scorer, TrainConfig(offload=o), META) for o in ("none", "optimizer", "parameters")] == [
        16 * count, 8 * count, 0,
    ]  # fmt: skip
    assert base_bytes(scorer, TrainConfig(), CPU) == 12 * count
    scorer.interaction.requires_grad_(False)
    assert base_bytes(scorer, TrainConfig(), META) == 16 * (count - frozen) + 4 * frozen


@pytest.mark.parametrize(
    ("device", "place", "advice"),
    [
        (META, "of a device with", "train.offload=optimizer"),
        (CPU, "of a training worker's part of its node's memory with", "fewer resources.train workers on a node"),
    ],
)
def test_a_base_without_room_is_one_line(device: torch.device, place: str, advice: str) -> None:
    scorer = make_scorer()
    needed = base_bytes(scorer, TrainConfig(), device)
    assert check_fits(scorer, TrainConfig(), device, needed, scorer.config.encoder) == needed
    with pytest.raises(UserError) as error:
        check_fits(scorer, TrainConfig(), device, needed - 1, scorer.config.encoder)
    assert str(error.value).startswith("model.encoder=minilm: ")
    assert place in str(error.value)
    assert advice in str(error.value)
    assert "\n" not in str(error.value)
