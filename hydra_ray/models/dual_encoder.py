"""The dense retriever that is trained: queries and items by one encoder, compared by the dot product.

Either the whole encoder is trained, on both sides (ROPG), or it is frozen, and a matrix is learned that queries alone
are multiplied with: any bilinear form of the embeddings, while the items' embeddings stay as they are kept.

N texts, D numbers of an embedding, L lists with up to C candidates each.
"""

import torch
from torch import Tensor, nn

from hydra_ray.models.encoder import TextEncoder

Inputs = Tensor | dict[str, Tensor]
"""Embeddings of a frozen encoder, float32 [N, D], or an encoder's tokens, int64 [N, tokens]."""


class DualEncoder(nn.Module):
    """Scores candidates. Untrained it scores as the encoder itself does.

    Attributes:
        encoder: The encoder, where it is trained; None: embeddings come from outside.
        projection: Of queries, [D, D], the identity at first; None where the encoder is trained.
    """

    def __init__(self, width: int, encoder: TextEncoder | None = None) -> None:
        """width: D."""
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(width, width, bias=False) if encoder is None else None
        if self.projection is not None:
            nn.init.eye_(self.projection.weight)

    def forward(self, texts: Inputs, query_L: Tensor, item_LC: Tensor) -> Tensor:
        """Scores, float32 [L, C]. query_L, item_LC: places in `texts`, int64."""
        if isinstance(texts, Tensor):
            assert self.projection is not None
            query_LD, item_LCD = self.projection(texts[query_L]), texts[item_LC]
        else:
            assert self.encoder is not None
            embedded_ND = self.encoder(texts)
            query_LD, item_LCD = embedded_ND[query_L], embedded_ND[item_LC]
        return torch.einsum("ld,lcd->lc", query_LD, item_LCD)
