"""Which layers LoRA is on, and users' initial weights."""

import math

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.shape import LoraShape, shape_of, stack, unstack
from hydra_ray.tiny_llm.export import WEIGHTS


def test_layers_and_arrays(base: Decoder, shape: LoraShape) -> None:
    assert list(shape.layers) == [f"model.layers.{n}.self_attn.{t}" for n in (0, 1) for t in ("q_proj", "v_proj")]
    assert shape.layers["model.layers.1.self_attn.v_proj"] == (16, 32)
    assert shape.arrays["model.layers.1.self_attn.v_proj.lora_A"] == (8, 32)
    assert shape.arrays["model.layers.1.self_attn.v_proj.lora_B"] == (16, 8)
    assert (shape.targets, shape.scaling) == (("q_proj", "v_proj"), 2.0)
    assert shape.numbers == 2 * (8 * 32 * 2 + 8 * 32 + 8 * 16)


def test_numbers_of_the_packaged_llm() -> None:
    assert shape_of(load_decoder(WEIGHTS).model, 8, 8.0, ("q_proj", "v_proj")).numbers == 16_384


def test_a_layer_that_the_base_lacks(base: Decoder) -> None:
    with pytest.raises(UserError) as raised:
        shape_of(base.model, 8, 8.0, ("q_proj", "out_proj"))
    assert str(raised.value) == (
        "lora.targets: the base has no linear layer 'out_proj'; it has down_proj, gate_proj, k_proj, o_proj, q_proj, "
        "up_proj, v_proj"
    )


def test_initial_weights_are_the_users_own(shape: LoraShape) -> None:
    one, same, other = shape.initial(0, "a"), shape.initial(0, "a"), shape.initial(0, "b")
    name = "model.layers.0.self_attn.q_proj"
    assert torch.equal(one[f"{name}.lora_A"], same[f"{name}.lora_A"])
    assert not torch.equal(one[f"{name}.lora_A"], other[f"{name}.lora_A"])
    assert not torch.equal(one[f"{name}.lora_A"], shape.initial(1, "a")[f"{name}.lora_A"])
    assert not one[f"{name}.lora_B"].any()
    # Kaiming-uniform with a = sqrt(5) is uniform within 1 / sqrt(d_in).
    bound = 1 / math.sqrt(32)
    assert 0.95 * bound < float(one[f"{name}.lora_A"].abs().max()) <= bound


def test_stacking(shape: LoraShape) -> None:
    users = [shape.initial(0, user) for user in "abc"]
    stacked = stack(users)
    assert all(value.shape == (3, *shape.arrays[name]) for name, value in stacked.items())
    assert all(torch.equal(value, users[1][name]) for name, value in unstack(stacked, 1).items())
