"""Two LoRA of one base as one that adds both: vLLM answers a request with one adapter."""

import torch

from hydra_ray.models.lora.shape import A, B, LoraShape, LoraWeights

Lora = tuple[LoraShape, LoraWeights]


def combined(first: Lora, second: Lora) -> Lora:
    """The LoRA that adds what both add.

    B1 A1 s1 + B2 A2 s2 = [s1 B1, s2 B2] [A1; A2], where s is alpha / r: the ranks add up, and alpha is the rank, so
    that nothing is scaled again. Where only one has a layer, the rows of the other are zero.

    Args:
        first: Shape and weights, fp32.
        second: Of the same base.
    """
    parts = (first, second)
    rank = sum(shape.rank for shape, _ in parts)
    layers = {name: sizes for shape, _ in parts for name, sizes in shape.layers.items()}
    weights: LoraWeights = {}
    for name, (d_out, d_in) in layers.items():
        first_maps, second_maps = [], []
        for shape, own in parts:
            there = name in shape.layers
            first_maps.append(own[f"{name}.{A}"] if there else torch.zeros(shape.rank, d_in))
            second_maps.append(own[f"{name}.{B}"] * shape.scaling if there else torch.zeros(d_out, shape.rank))
        weights[f"{name}.{A}"], weights[f"{name}.{B}"] = torch.cat(first_maps, 0), torch.cat(second_maps, 1)
    return LoraShape(rank, float(rank), layers), weights
