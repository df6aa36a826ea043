"""The base that LoRA is trained on: a frozen decoder LM with its tokenizer, from a Hugging Face folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hydra_ray.errors import UserError
from hydra_ray.utils.cpu import Precision
from hydra_ray.utils.device import CPU
from hydra_ray.utils.model_digest import model_digest

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""The files that hold a model's weights."""


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
        longest = getattr(self.model.config, "max_position_embeddings", None)
        return int(longest) if longest else None


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
    from transformers import AutoTokenizer

    check_decoder(folder)
    with loading(folder):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{folder}: its tokenizer has no end token; name one as eos_token in tokenizer_config.json")
    return tokenizer


@contextmanager
def loading(source: Path | str) -> Iterator[None]:
    """Raises UserError for files that cannot be read, or not be had. source: a folder, or a hub id."""
    try:
        yield
    except Exception as error:  # safetensors, tokenizers and transformers raise what they like for broken files
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        advice = "put its files there again" if Path(source).is_dir() else "check name and network, or give a folder"
        raise UserError(f"{source}: the model cannot be loaded ({reason.rstrip('.')}); {advice}") from None


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Loads weights without the bar that transformers draws."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def check_decoder(folder: Path) -> None:
    """Raises UserError unless the folder holds the configuration and weights of a decoder LM. Loads no weights."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no model there (config.json is missing); give a folder of a decoder LM")
    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"{folder}/config.json cannot be read ({reason}); give a folder of a decoder LM") from None
    known = {name for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _names(names)}
    architectures = list(getattr(config, "architectures", None) or [])
    if not known & {*architectures} or getattr(config, "is_encoder_decoder", False):
        what = ", ".join(architectures) or config.model_type
        raise UserError(f"{folder}: {what} is no decoder LM; LoRA here needs one, such as LlamaForCausalLM")
    if not any(True for pattern in WEIGHTS for _ in folder.glob(pattern)):
        raise UserError(f"{folder}: holds no weights ({' or '.join(WEIGHTS)}); put them there")


def _names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
