"""The base that LoRA is trained on: a frozen decoder LM with its tokenizer, from a Hugging Face folder."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hydra_ray.errors import UserError
from hydra_ray.models.lora.shape import shape_of
from hydra_ray.models.model_folder import (
    check_weights,
    loading,
    longest_input,
    no_progress_bars,
    read_config,
    read_tokenizer,
)
from hydra_ray.utils.cpu import Precision
from hydra_ray.utils.device import CPU
from hydra_ray.utils.model_digest import model_digest

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder LM whose weights need no gradient, in eval mode.

    Attributes:
        folder: Where it lies.
        digest: Which weights these are, wherever they lie (`hydra_ray.utils.model_digest`).
        model: Of transformers, such as `LlamaForCausalLM`.
        tokenizer: Its own; it has an end token.
    """

    folder: Path
    digest: str
    model: Any
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest input, None where nothing bounds it."""
        return longest_input(self.model)


def load_decoder(folder: Path, precision: Precision = "fp32", device: torch.device = CPU) -> Decoder:
    """Reads model and tokenizer from a folder.

    Args:
        folder: As `save_pretrained` writes it.
        precision: Of the weights.
        device: Where the model goes.

    Raises:
        UserError: There is no model, it is no decoder LM, its files cannot be read, or its tokenizer has no end token.
    """
    # Here: transformers takes 0.7 s to import.
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(folder)
    with loading(folder):
        with no_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, dtype=DTYPES[precision])
        digest = model_digest(folder)
    model.requires_grad_(False)
    return Decoder(folder, digest, model.to(device).eval(), tokenizer)


def load_tokenizer(folder: Path) -> Any:
    """A decoder LM's tokenizer, without its weights. Raises UserError as `load_decoder` does."""
    check_decoder(folder)
    return read_tokenizer(folder)


def check_decoder(folder: Path) -> None:
    """Raises UserError unless the folder holds the configuration and weights of a decoder LM. Loads no weights."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = read_config(folder, "a decoder LM")
    known = {name for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _names(names)}
    architectures = list(getattr(config, "architectures", None) or [])
    if not known & {*architectures} or getattr(config, "is_encoder_decoder", False):
        what = ", ".join(architectures) or config.model_type
        raise UserError(f"{folder}: {what} is no decoder LM; LoRA here needs one, such as LlamaForCausalLM")
    check_weights(folder)


@cache
def check_targets(folder: Path, targets: tuple[str, ...]) -> None:
    """Raises UserError unless a decoder LM has linear layers of all these names. Loads no weights."""
    from transformers import AutoModelForCausalLM

    config = read_config(folder, "a decoder LM")
    with loading(folder), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape_of(model, 1, 1.0, targets)


def _names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
