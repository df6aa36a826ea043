"""LoRA adapters that the served model loads by name, such as one for each user, on top of the weights that all share.

An adapter is a folder in PEFT's format, somewhere under the one folder that `llm.serve.lora` names. vLLM's own resolver
finds it by its path in there at its first request, and forgets the one that was used least recently. A changed adapter
needs another name: vLLM keeps the prefixes of prompts by name.
"""

import json
from pathlib import Path
from typing import Any

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source
from hydra_ray.models.lora.peft_config import CONFIG, read_config
from hydra_ray.utils.atomic_io import write_text

BASE = "base_model_name_or_path"
"""Where an adapter's configuration says what it was trained for."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM 0.29 takes for `max_lora_rank`."""


def lora_name(cfg: LLMConfig, adapter: Path) -> str:
    """The name by which a request asks for an adapter (`Request.lora`).

    Args:
        cfg: Of the served model, with `llm.serve.lora.folder`.
        adapter: The adapter's folder.

    Raises:
        UserError: The model is served without adapters, or elsewhere; the adapter is none, was trained for other
            weights, has too high a rank or lies outside the folder.
    """
    lora = cfg.serve.lora
    if cfg.base_url is not None:
        raise UserError(f"llm.base_url={cfg.base_url}: adapters need a model that the run serves: leave it out")
    if lora.folder is None:
        raise UserError("llm.serve.lora.folder is not set: the model is served without adapters")
    found, weights = read_config(adapter), weights_source(cfg.serve.source)
    base, rank = found.get(BASE), found["r"]
    if base != weights:
        raise UserError(f"{adapter}: an adapter for {base}, but llm.serve.source is {weights}: train it for that")
    if rank > lora.max_rank:
        raise UserError(f"{adapter}: rank {rank}, but llm.serve.lora.max_rank is {lora.max_rank}")
    try:
        return adapter.resolve().relative_to(Path(lora.folder).resolve()).as_posix()
    except ValueError:
        raise UserError(f"{adapter}: lies outside llm.serve.lora.folder={lora.folder}") from None


def name_base(folder: Path, source: str) -> None:
    """Tells the adapters under a folder where their base lies now: vLLM compares where it lies, not what it is.

    Args:
        folder: With adapters that are known to be trained for these weights, wherever they lay then.
        source: As `llm.serve.source`.

    Raises:
        UserError: An adapter cannot be read, or there are no such weights.
    """
    weights = weights_source(source)
    for file in folder.rglob(CONFIG):
        found = read_config(file.parent)
        if found.get(BASE) != weights:
            write_text(file, json.dumps({**found, BASE: weights}, indent=2) + "\n")


def engine_arguments(cfg: LLMConfig) -> dict[str, Any]:
    """vLLM's engine arguments for adapters; empty if the model is served without."""
    lora = cfg.serve.lora
    if lora.folder is None:
        return {}
    return {
        "enable_lora": True,
        "max_lora_rank": next(rank for rank in RANKS if rank >= lora.max_rank),
        "max_loras": lora.max_adapters,
        "max_cpu_loras": max(lora.max_adapters, lora.cached_adapters),
    }
