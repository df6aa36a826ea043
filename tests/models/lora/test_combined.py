"""One LoRA that adds what two add."""

import copy

import torch

from hydra_ray.models.lora.combined import combined
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.merge import add_lora
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, shape_of


def drawn(shape: LoraShape, seed: int) -> LoraWeights:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(sizes, generator=draws) / 4 for name, sizes in shape.arrays.items()}


def test_it_adds_what_both_add_of_other_ranks_scales_and_layers(base: Decoder) -> None:
    first = shape_of(base.model, 4, 16.0, ("q_proj", "k_proj"))
    second = shape_of(base.model, 8, 8.0, ("q_proj", "v_proj"))
    one, other = drawn(first, 1), drawn(second, 2)
    shape, weights = combined((first, one), (second, other))
    assert (shape.rank, shape.scaling) == (12, 1.0)
    assert shape.targets == ("k_proj", "q_proj", "v_proj")
    assert {name: tuple(value.shape) for name, value in weights.items()} == shape.arrays
    apart, together = copy.deepcopy(base.model), copy.deepcopy(base.model)
    add_lora(apart, first, one)
    add_lora(apart, second, other)
    add_lora(together, shape, weights)
    for name, value in apart.state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], value, atol=1e-5, rtol=1e-5)
