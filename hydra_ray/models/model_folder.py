"""Reading a Hugging Face model: its configuration, tokenizer and weights, with one line for what cannot be read.

A source is a folder as `save_pretrained` writes it or, where that is said, a hub id.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra_ray.errors import UserError

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""The files that hold a model's weights."""


def read_config(folder: Path, kind: str) -> Any:
    """A folder's configuration, as transformers reads it. Loads no weights.

    Args:
        folder: Of the model.
        kind: What it should be, such as "a decoder LM".

    Raises:
        UserError: There is none, or it cannot be read.
    """
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no model there (config.json is missing); give a folder of {kind}")
    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise UserError(f"{folder}/config.json cannot be read ({reason_of(error)}); give a folder of {kind}") from None


def check_weights(folder: Path) -> None:
    """Raises UserError where a folder holds no weights."""
    if not any(True for pattern in WEIGHTS for _ in folder.glob(pattern)):
        raise UserError(f"{folder}: holds no weights ({' or '.join(WEIGHTS)}); put them there")


def read_tokenizer(source: Path | str) -> Any:
    """A source's tokenizer; it may be a hub id. Raises UserError where it cannot be read, or has no end token."""
    from transformers import AutoTokenizer

    with loading(source):
        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=Path(source).is_dir())
    if tokenizer.eos_token_id is None:
        raise UserError(f"{source}: its tokenizer has no end token; name one as eos_token in tokenizer_config.json")
    return tokenizer


def longest_input(model: Any) -> int | None:
    """Tokens of the longest input of a model; None where nothing bounds it, as T5's relative positions."""
    longest = getattr(model.config, "max_position_embeddings", None)
    return int(longest) if longest else None


@contextmanager
def loading(source: Path | str) -> Iterator[None]:
    """Raises UserError for files that cannot be read, or not be had. source: may be a hub id."""
    try:
        yield
    except Exception as error:  # safetensors, tokenizers and transformers raise what they like for broken files
        advice = "put its files there again" if Path(source).is_dir() else "check name and network, or give a folder"
        reason = reason_of(error).rstrip(".")
        raise UserError(f"{source}: the model cannot be loaded ({reason}); {advice}") from None


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


def reason_of(error: Exception) -> str:
    """The first line of an exception's message, or its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
