"""A LoRA added to its base's weights: another base, as a folder that transformers and vLLM load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import A, B, LoraShape
from hydra_ray.models.model_copy import copy_model


def merge_lora(base: Decoder, shape: LoraShape, weights: Mapping[str, Tensor], out: Path) -> Path:
    """Writes the base with (alpha / r) B A added to its layers' weights; the base itself stays as it is.

    Sums are taken in fp32 and rounded to the format that the base's weights are kept in.

    Args:
        base: What the LoRA was trained on.
        shape: Of the weights.
        weights: Of one user, or of the task.
        out: A folder that is not there yet; it appears once it is complete.

    Raises:
        UserError: `out` is there already.
    """
    return copy_model(base.folder, lambda model: add_lora(model, shape, weights), out)


@torch.no_grad()
def add_lora(model: Any, shape: LoraShape, weights: Mapping[str, Tensor]) -> None:
    """Adds a LoRA to a model's weights in place."""
    for name in shape.layers:
        weight = model.get_submodule(name).weight
        added = weights[f"{name}.{B}"].float() @ weights[f"{name}.{A}"].float() * shape.scaling
        weight.copy_(weight.float() + added.to(weight.device))
