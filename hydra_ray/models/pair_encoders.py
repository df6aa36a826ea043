"""The shared base: two texts -> one pair embedding, where each text is encoded alone."""

import torch
from torch import Tensor, nn

from hydra_ray.config import ModelConfig

ALPHA = 10.0
"""Sharpness of the concepts at the start: cosines of .3 and .6 are then 20 times apart."""


class InteractionEncoder(nn.Module):
    """Pair embedding of two texts' embeddings q and c: z = tanh(W [(A q) * (B c) ; q ; c]) + (A q) * (B c).

    The product of two learned projections lets the base ask "do both texts agree in this respect?" in many respects at
    once, which a user's head then weighs; it is the low-rank bilinear form of Kim et al. 2017 (arXiv 1610.04325).
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.query = nn.Linear(width_in, width_out)
        self.candidate = nn.Linear(width_in, width_out)
        self.norm = nn.LayerNorm(width_out)
        self.mix = nn.Linear(width_out + 2 * width_in, width_out)

    def forward(self, query: Tensor, candidates: Tensor) -> Tensor:
        """query [..., D], candidates [..., D] -> [..., Z]."""
        scale = query.shape[-1] ** 0.5
        query = nn.functional.normalize(query, dim=-1) * scale
        candidates = nn.functional.normalize(candidates, dim=-1) * scale
        agree = self.norm(self.query(query) * self.candidate(candidates))
        pair: Tensor = agree + torch.tanh(self.mix(torch.cat([agree, query, candidates], dim=-1)))
        return pair


class ConceptEncoder(nn.Module):
    """Pair embedding by shared concepts: z_k = 4 c_k(query) r_k(candidate), one number per concept.

    A sentence belongs to concepts by softmax(alpha W s), as to soft clusters; a text holds a concept if one of its
    sentences does: c_k = 1 - prod over sentences (1 - p_k). `symmetric` (reranker): r is the same code, so that z says
    in which concepts both texts agree and a user's head which of them matter to this user. Otherwise (adapter) r is a
    linear map of the candidate: z says how well the candidate fits each concept of the query. W starts at the k-means
    centres of the training texts' sentences (see `hydra_ray.training.joint.concepts`).
    """

    def __init__(self, width_in: int, width_out: int, symmetric: bool, dropout: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(width_out, width_in) / width_in**0.5)
        self.alpha = nn.Parameter(torch.tensor([ALPHA]))
        self.candidate = None if symmetric else nn.Linear(width_in, width_out)
        self.dropout = nn.Dropout(dropout)

    def code(self, sentences: Tensor) -> Tensor:
        """Concepts of texts: [T, S, D] (zero rows: no sentence) -> [T, Z] in [0, 1]."""
        present = (sentences.square().sum(-1, keepdim=True) > 0).to(sentences.dtype)
        unit = self.dropout(nn.functional.normalize(sentences, dim=-1))
        belongs = torch.softmax(self.alpha * nn.functional.linear(unit, self.centres), dim=-1) * present
        return 1 - (1 - belongs).prod(1)

    def forward(self, query: Tensor, candidates: Tensor) -> Tensor:
        """query [Q, S, D], candidates [Q, R, S, D] -> [Q, R, Z]."""
        queries, rows = candidates.shape[:2]
        flat = candidates.flatten(0, 1)
        other = (
            self.code(flat) if self.candidate is None else self.candidate(nn.functional.normalize(flat.sum(1), dim=-1))
        )
        pair: Tensor = 4 * self.code(query).unsqueeze(1) * other.reshape(queries, rows, -1)
        return pair


def make_interaction(width: int, config: ModelConfig, symmetric: bool) -> InteractionEncoder:
    """The module of `bi_encoder`. width: D."""
    del symmetric
    return InteractionEncoder(width, config.pair_dim)


def make_concepts(width: int, config: ModelConfig, symmetric: bool) -> ConceptEncoder:
    """The module of `concepts`. width: D."""
    return ConceptEncoder(width, config.pair_dim, symmetric, config.dropout)
