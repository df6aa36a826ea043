"""The scorer that reranker and adapter both are: texts -> pair embeddings -> a score per row."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hydra_ray.config import ModelConfig
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.heads import Deltas, Head, new_head
from hydra_ray.models.mixture import PRESENT, PROFILE, MixtureHead, Router, mixtures
from hydra_ray.utils.cpu import Precision


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Q queries with up to R rows each, as indices into a table of T texts.

    query: int64 [Q], the query's text. candidates: int64 [Q, R], the rows' texts. label: float [Q, R] in {0, 1}.
    mask: float [Q, R], 1 where the row exists and has a label. user: int64 [Q], the row of the query's user in the
    deltas that go with the batch. features: float [Q, R, E], further numbers for each row, E may be 0.
    """

    query: Tensor
    candidates: Tensor
    label: Tensor
    mask: Tensor
    user: Tensor
    features: Tensor

    def to(self, device: torch.device) -> "PairBatch":
        """The same on a device; from pinned memory without waiting."""
        return PairBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


FEATURE_SCALE = 2.0
"""Brings features, numbers in [0, 1], to the size of the pair embeddings."""


class PairScorer(nn.Module):
    """Base and shared head. `bi_encoder`, `concepts`: embeddings interact; `cross_encoder`: the encoder reads the
    pair; `none`: the head reads the features alone.

    Attributes:
        precision: Of the base's arithmetic (`train.precision`). All weights, and the heads' arithmetic, stay fp32.
    """

    precision: Precision = "fp32"

    def __init__(
        self,
        config: ModelConfig,
        encoder: TextEncoder | None,
        encoder_width: int,
        symmetric: bool = True,
        feature_width: int = 0,
    ) -> None:
        """`encoder` is None where embeddings are given (frozen encoder). symmetric: both texts are of a kind.

        feature_width: numbers per row besides the texts, appended to the pair embedding.
        """
        super().__init__()
        self.config = config
        self.feature_width = feature_width
        self.encoder = encoder
        self.pair = pair_kind(config.pair)
        self.interaction: nn.Module | None = self.pair.new(encoder_width, config, symmetric)
        width = self.pair.width(encoder_width, config)
        self.head: Head | MixtureHead = new_head(width + feature_width, config)
        self.router: Router | None = None
        if head_kind(config.head).routed:
            self.router = Router(encoder_width, config.pair_dim, config.num_experts, config.num_experts_per_user)
        self.routed: tuple[Tensor, Tensor] | None = None
        if encoder is not None and config.freeze_encoder:
            encoder.requires_grad_(False)

    def encode_pairs(self, texts: Sequence[str] | Tensor, batch: PairBatch) -> Tensor:
        """Pair embeddings with the features appended, [Q, R, Z + E]; `texts` is the table of texts, or of the
        embeddings of a frozen encoder: [T, D] (`bi_encoder`) or [T, S, D], one per sentence (`concepts`)."""
        if self.precision == "bf16":
            with torch.autocast(batch.label.device.type, torch.bfloat16):
                pairs_QRZ = self._pairs(texts, batch)
            pairs_QRZ = self._like_head(pairs_QRZ)
        else:
            pairs_QRZ = self._pairs(texts, batch)
        if not self.feature_width:
            return pairs_QRZ
        return torch.cat([pairs_QRZ, FEATURE_SCALE * batch.features.to(pairs_QRZ.dtype)], dim=-1)

    def _pairs(self, texts: Sequence[str] | Tensor, batch: PairBatch) -> Tensor:
        if self.pair.reads == "nothing":
            return batch.features.new_zeros(*batch.candidates.shape, 0, dtype=next(self.head.parameters()).dtype)
        if self.interaction is None:
            return self._cross(texts, batch)
        queries, rows = batch.candidates.shape
        query_Q, candidates_QR = batch.query, batch.candidates
        if self.pair.reads == "sentences":
            assert isinstance(texts, Tensor)
            agreements_QRZ: Tensor = self.interaction(texts[query_Q], texts[candidates_QR])
            return agreements_QRZ
        if isinstance(texts, Tensor):
            embeddings_TD = texts
        else:
            assert self.encoder is not None
            used = torch.unique(torch.cat([query_Q, candidates_QR.reshape(-1)]))
            embeddings_TD = self._like_head(self.encoder(self.encoder.tokens([texts[i] for i in used.tolist()])))
            query_Q, candidates_QR = torch.searchsorted(used, query_Q), torch.searchsorted(used, candidates_QR)
        query_QRD = embeddings_TD[query_Q].unsqueeze(1).expand(queries, rows, -1)
        pairs_QRZ: Tensor = self.interaction(query_QRD, embeddings_TD[candidates_QR])
        return pairs_QRZ

    def _cross(self, texts: Sequence[str] | Tensor, batch: PairBatch) -> Tensor:
        assert self.encoder is not None
        assert not isinstance(texts, Tensor)
        queries, rows = batch.candidates.shape
        query = [texts[i] for i in batch.query.tolist() for _ in range(rows)]
        candidates = [texts[i] for i in batch.candidates.reshape(-1).tolist()]
        encoded = self._like_head(self.encoder(self.encoder.tokens(query, candidates)))
        return encoded.reshape(queries, rows, -1)

    def _like_head(self, encoded: Tensor) -> Tensor:
        """In the head's precision: the encoder answers in float32, DeepSpeed may hold all weights in bf16."""
        return encoded.to(next(self.head.parameters()).dtype)

    def forward(self, texts: Sequence[str] | Tensor, batch: PairBatch, deltas: Deltas) -> Tensor:
        """Logits [Q, R, 2]. `deltas`: name -> [U, ...], rows as `batch.user` counts them; or, for `mixture`, profiles.

        What the router made of profiles, weights and probabilities [U, F], is left in `routed`.
        """
        if self.router is not None and PROFILE in deltas:
            dtype = self.router.out.weight.dtype
            self.routed = self.router(deltas[PROFILE].to(dtype), deltas[PRESENT].to(dtype))
            deltas = mixtures(self.routed[0])
        z_QRZ = self.encode_pairs(texts, batch)
        same_type = {name: value.to(z_QRZ.dtype) for name, value in deltas.items()}
        return self.head.of_users(z_QRZ, same_type, batch.user)
