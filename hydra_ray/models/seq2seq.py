"""An encoder-decoder LM, such as FlanT5, with its tokenizer: from a Hugging Face folder, or from the hub."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hydra_ray.core.prompts import Message
from hydra_ray.errors import UserError
from hydra_ray.models.model_folder import (
    check_weights,
    loading,
    longest_input,
    no_progress_bars,
    read_config,
    read_tokenizer,
)
from hydra_ray.utils.device import CPU

KIND = "an encoder-decoder LM"


@dataclass(frozen=True, slots=True)
class Seq2Seq:
    """An encoder-decoder whose weights need no gradient, in eval mode.

    Attributes:
        model: Of transformers, such as `T5ForConditionalGeneration`.
        tokenizer: Its own; it has an end token.
    """

    model: Any
    tokenizer: Any

    @property
    def longest(self) -> int | None:
        """Tokens of the longest input; None where positions are relative, as T5's, so that nothing bounds it."""
        return longest_input(self.model)


def is_seq2seq(folder: Path) -> bool:
    """Whether a folder's configuration is that of an encoder-decoder. Raises UserError if it cannot be read."""
    return _encodes(read_config(folder, KIND))


def check_seq2seq(folder: Path) -> None:
    """Raises UserError unless the folder holds configuration and weights of an encoder-decoder LM. Loads no weights."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    config = read_config(folder, KIND)
    if not _encodes(config) or config.model_type not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        what = ", ".join(getattr(config, "architectures", None) or [config.model_type])
        raise UserError(f"{folder}: {what} is no encoder-decoder LM, such as T5ForConditionalGeneration; a decoder LM "
                        "is served with llm.serve.engine=vllm")  # fmt: skip
    check_weights(folder)


def load_seq2seq(source: str, dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> Seq2Seq:
    """Reads model and tokenizer.

    Args:
        source: A folder as `save_pretrained` writes it, or a hub id.
        dtype: Of the weights.
        device: Where the model goes.

    Raises:
        UserError: It is no encoder-decoder, its files cannot be read, or its end token or its decoder's start token is
            missing.
    """
    # Here: transformers takes 0.7 s to import.
    from transformers import AutoModelForSeq2SeqLM

    tokenizer = load_seq2seq_tokenizer(source)
    with loading(source), no_progress_bars(), untied_heads():
        local = Path(source).is_dir()
        model = AutoModelForSeq2SeqLM.from_pretrained(source, local_files_only=local, dtype=dtype)
    if getattr(model.config, "decoder_start_token_id", None) is None:
        raise UserError(f"{source}: its config.json names no decoder_start_token_id, which every answer begins with; "
                        "name one")  # fmt: skip
    return Seq2Seq(model.requires_grad_(False).to(device).eval(), tokenizer)


@contextmanager
def untied_heads() -> Iterator[None]:
    """Loads weights without a warning that FlanT5 has a head of its own: transformers keeps it, as it should."""
    logger = logging.getLogger("transformers.modeling_utils")

    def other(record: logging.LogRecord) -> bool:
        return "we will NOT tie them" not in record.getMessage().replace("\n", " ")

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def load_seq2seq_tokenizer(source: str) -> Any:
    """The tokenizer, without the weights. Raises UserError as `load_seq2seq` does."""
    folder = Path(source)
    if folder.is_dir():
        check_seq2seq(folder)
    return read_tokenizer(source)


def encoder_text(messages: Sequence[Message]) -> str:
    """What the encoder reads of a chat: the messages' texts in order, an empty line between them."""
    return "\n\n".join(message["content"] for message in messages)


def _encodes(config: Any) -> bool:
    return bool(getattr(config, "is_encoder_decoder", False))
