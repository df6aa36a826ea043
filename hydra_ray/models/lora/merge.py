"""A LoRA added to its base's weights: another base, as a folder that transformers and vLLM load."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder, no_progress_bars
from hydra_ray.models.lora.shape import A, B, LoraShape

NOT_COPIED = (".safetensors", ".bin", ".index.json", ".pt", ".gguf")
"""Endings of the base's files with weights, which the merged ones replace."""


def merge_lora(base: Decoder, shape: LoraShape, weights: Mapping[str, Tensor], out: Path) -> Path:
    """Writes the base with (alpha / r) B A added to its layers' weights; the base itself stays as it is.

    Sums are taken in fp32 and rounded to the format that the base's weights are kept in. Whatever else lies in the
    base's folder, such as the tokenizer, is copied.

    Args:
        base: What the LoRA was trained on.
        shape: Of the weights.
        weights: Of one user, or of the task.
        out: A folder that is not there yet; it appears once it is complete.

    Raises:
        UserError: `out` is there already.
    """
    from transformers import AutoModelForCausalLM

    if out.exists():
        raise UserError(f"{out} is there already; remove it, or give another folder for the merged base")
    part = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for file in base.folder.iterdir():
            if file.is_file() and not file.name.startswith(".") and not file.name.endswith(NOT_COPIED):
                shutil.copyfile(file, part / file.name)
        with no_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(str(base.folder), local_files_only=True, dtype="auto")
        add_lora(model, shape, weights)
        with no_progress_bars():
            model.save_pretrained(str(part))
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return out


@torch.no_grad()
def add_lora(model: Any, shape: LoraShape, weights: Mapping[str, Tensor]) -> None:
    """Adds a LoRA to a model's weights in place."""
    for name in shape.layers:
        weight = model.get_submodule(name).weight
        added = weights[f"{name}.{B}"].float() @ weights[f"{name}.{A}"].float() * shape.scaling
        weight.copy_(weight.float() + added.to(weight.device))
