"""A reranker without numbers of any user's own: shared heads, mixed by what a router reads in the user's history.

The design is mixture of facets (2026): a small Transformer over the history's embeddings and their mean, a sparse
autoencoder (ReLU, wider than what it reads), a linear router with softmax over the best few heads, and two-layer heads.
The query is no part of what the router reads. Everything rests on a frozen encoder's embeddings.

L queries, C candidates of each, H items of the longest history, D numbers of an embedding, X of the model within, S of
the sparse code, F facets.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ATTENTION_HEADS = 4


@dataclass(frozen=True, slots=True)
class FacetShape:
    """The sizes of a model.

    Attributes:
        width: D.
        hidden: X, a multiple of 4.
        facets: F.
        top: Of the facets that a user's mixture has.
        sparse: S.
    """

    width: int
    hidden: int
    facets: int
    top: int
    sparse: int


class FacetModel(nn.Module):
    """Untrained, every candidate has the score 0."""

    def __init__(self, shape: FacetShape) -> None:
        super().__init__()
        self.shape, hidden, facets = shape, shape.hidden, shape.facets
        self.narrow = nn.Linear(shape.width, hidden)
        self.layer = nn.TransformerEncoderLayer(
            hidden, ATTENTION_HEADS, 2 * hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        self.code, self.decode = nn.Linear(hidden, shape.sparse), nn.Linear(shape.sparse, hidden)
        self.router = nn.Linear(shape.sparse, facets)
        pair = 2 * shape.width
        self.dense = nn.Parameter(torch.randn(facets, hidden, pair) / math.sqrt(pair))
        self.bias = nn.Parameter(torch.zeros(facets, hidden))
        self.out = nn.Parameter(torch.zeros(facets, hidden))

    def mixture(self, history_LHD: Tensor, present_LH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How a user's facets are mixed. A history without items is read as zeros.

        Args:
            history_LHD: float32, embeddings of the items.
            present_LH: bool, which of them exist.

        Returns:
            Weights [L, F], all but `top` of them 0, and of the sparse autoencoder the squared error [L] and the sum of
            the code [L], whose numbers are not negative.
        """
        if not history_LHD.shape[1]:
            history_LHD = history_LHD.new_zeros(len(history_LHD), 1, self.shape.width)
            present_LH = present_LH.new_zeros(len(present_LH), 1)
        seen_LH = present_LH | ~present_LH.any(-1, keepdim=True)  # attention needs something to look at
        unit_LHD = nn.functional.normalize(history_LHD, dim=-1) * present_LH.unsqueeze(-1)
        read_LHX = self.layer(self.narrow(unit_LHD), src_key_padding_mask=~seen_LH)
        mean_LX = (read_LHX * seen_LH.unsqueeze(-1)).sum(1) / seen_LH.sum(-1, keepdim=True)
        code_LS = torch.relu(self.code(mean_LX))
        error_L = (self.decode(code_LS) - mean_LX.detach()).square().mean(-1)
        logits_LF = self.router(code_LS)
        kept_LF = torch.zeros_like(logits_LF, dtype=torch.bool).scatter(
            -1, logits_LF.topk(self.shape.top, dim=-1).indices, True
        )
        weights_LF = torch.softmax(logits_LF.masked_fill(~kept_LF, -math.inf), -1)
        return weights_LF, error_L, code_LS.sum(-1)

    def scores(self, query_LD: Tensor, items_LCD: Tensor, weights_LF: Tensor) -> Tensor:
        """How much each candidate helps with its query, float32 [L, C]; what is read of both does not depend on which
        of the two is which: the product of their embeddings and the distance between their numbers."""
        query_L1D = nn.functional.normalize(query_LD, dim=-1).unsqueeze(1)
        items_LCD = nn.functional.normalize(items_LCD, dim=-1)
        # Of unit length, an embedding's numbers are about 1 / sqrt(D), a product's 1 / D.
        scale = math.sqrt(self.shape.width)
        pair_LCP = torch.cat([scale * query_L1D * items_LCD, (query_L1D - items_LCD).abs()], -1) * scale
        hidden_LCFX = torch.tanh(torch.einsum("lcp,fxp->lcfx", pair_LCP, self.dense) + self.bias)
        scores_LC: Tensor = torch.einsum("lcfx,fx,lf->lc", hidden_LCFX, self.out, weights_LF)
        return scores_LC
