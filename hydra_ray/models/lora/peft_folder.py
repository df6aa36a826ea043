"""LoRA as PEFT's folder, which peft and vLLM load: `adapter_config.json` and `adapter_model.safetensors`.

A tensor is named `base_model.model.LAYER.lora_A.weight`, as peft 0.21 writes and vLLM 0.29 reads it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hydra_ray.errors import UserError
from hydra_ray.models.lora.peft_config import CONFIG, PLAIN, read_config
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, linear_layers, shape_of
from hydra_ray.utils.atomic_io import write_atomically, write_text

TENSORS = "adapter_model.safetensors"
PREFIX, SUFFIX = "base_model.model.", ".weight"


def write_lora(folder: Path, shape: LoraShape, weights: LoraWeights, base_name: str) -> Path:
    """Writes one user's weights; the folder is made, and has its configuration once it is complete.

    Args:
        folder: Where; what it holds of an earlier one is replaced.
        shape: Of the weights.
        weights: Of one user.
        base_name: Folder or hub id of the base, for those who load the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{PREFIX}{name}{SUFFIX}": value.detach().cpu().float().contiguous() for name, value in weights.items()}
    with write_atomically(folder / TENSORS) as part:
        part.write_bytes(save(named, metadata={"format": "pt"}))
    alpha = int(shape.alpha) if float(shape.alpha).is_integer() else shape.alpha
    plain = {name: values[0] for name, values in PLAIN.items()}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": shape.rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": list(shape.targets),
        "inference_mode": True,
        "init_lora_weights": True,
        "revision": None,
        **plain,
    }
    write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    return folder


def read_lora(folder: Path, model: Any) -> tuple[LoraShape, LoraWeights]:
    """Shape and weights, fp32, of a folder that belongs to this base.

    Args:
        folder: As `write_lora` or peft wrote it.
        model: The base, a decoder LM.

    Raises:
        UserError: A file is missing or damaged, it is no plain LoRA, or it is of another base: layers or widths differ.
    """
    config = read_config(folder)
    targets, rank, alpha = config["target_modules"], config["r"], config["lora_alpha"]
    have = {name.rpartition(".")[2] for name in linear_layers(model)}
    foreign = [target for target in targets if target not in have]
    if foreign:
        raise UserError(f"{folder} is of another base: it is on {foreign[0]!r}, and this base has "
                        f"{', '.join(sorted(have))}; take the base that it was trained on")  # fmt: skip
    shape = shape_of(model, rank, alpha, targets)
    named = _tensors(folder)
    weights: LoraWeights = {}
    for name, expected in shape.arrays.items():
        value = named.pop(f"{PREFIX}{name}{SUFFIX}", None)
        if value is None:
            raise UserError(f"{folder / TENSORS} has nothing for {name}, which this base has: it is of another base, "
                            "or was saved by another tool; take the base that it was trained on")  # fmt: skip
        if tuple(value.shape) != expected:
            raise UserError(f"{folder} is of another base: {name} is {list(value.shape)}, this base takes "
                            f"{list(expected)}; take the base that it was trained on")  # fmt: skip
        weights[name] = value.float()
    if named:
        raise UserError(f"{folder / TENSORS} holds {min(named)}, which this base has no place for: it is of another "
                        "base; take the one that it was trained on")  # fmt: skip
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise UserError(f"{folder / TENSORS}: {broken[0]} holds NaN or infinity; train it anew")
    return shape, weights


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / TENSORS
    try:
        return dict(load(file.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{folder}: {TENSORS} is missing; put it there, or write the LoRA again") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged ({error}); write the LoRA again") from None
