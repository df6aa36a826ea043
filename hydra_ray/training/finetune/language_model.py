"""The two kinds of LM that are fine-tuned, decoders and encoder-decoders: their rows and losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_ray.config import Config
from hydra_ray.models.lora.decoder import load_decoder, load_tokenizer
from hydra_ray.models.seq2seq import is_seq2seq, load_seq2seq, load_seq2seq_tokenizer
from hydra_ray.training.finetune.seq2seq import Seq2SeqRowTokenizer, seq2seq_losses
from hydra_ray.training.user_lora.losses import RowBatch, row_losses
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, TokenRow

Losses = Callable[[Any, Sequence[TokenRow], torch.device], Tensor]
"""(model or its engine, rows, device) -> summed over each row's learned tokens, nats, float32 [rows]."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A loaded LM in fp32, on the CPU.

    Attributes:
        model: Of transformers.
        longest: Tokens of the longest input; None where nothing bounds it.
        losses: Of rows.
    """

    model: Any
    longest: int | None
    losses: Losses

    def too_long(self, row: TokenRow) -> bool:
        """Whether the LM cannot read a row: an encoder-decoder reads prompt and answer apart."""
        apart = self.losses is seq2seq_losses
        return self.longest is not None and (max(row.prompt, row.learned) if apart else len(row.ids)) > self.longest


def load_language_model(folder: Path) -> LanguageModel:
    """The LM in a folder, of the kind that its configuration says. Raises UserError if it cannot be loaded."""
    if is_seq2seq(folder):
        found = load_seq2seq(str(folder))
        return LanguageModel(found.model, found.longest, seq2seq_losses)
    decoder = load_decoder(folder)
    return LanguageModel(decoder.model, decoder.longest, decoder_losses)


def decoder_losses(model: Any, rows: Sequence[TokenRow], device: torch.device) -> Tensor:
    """`Losses` of a decoder LM."""
    return row_losses(model, RowBatch.of(rows, device))


def row_tokenizer(folder: Path, config: Config) -> Callable[[LoraRow], TokenRow]:
    """What makes rows into tokens as the LM in a folder is asked. Raises UserError if its tokenizer cannot be used."""
    how = config.finetune.max_tokens, config.llm.system_prompt
    if config.llm.in_process:
        return Seq2SeqRowTokenizer(load_seq2seq_tokenizer(str(folder)), *how)
    return RowTokenizer(load_tokenizer(folder), *how, section="finetune")
