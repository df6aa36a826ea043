"""A trained reranker that orders what was retrieved for many queries of one user."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hydra_ray.core.queries import Query
from hydra_ray.inference.reranking import RankedItem, rank, reranker_features
from hydra_ray.inference.scoring import score_requests
from hydra_ray.inference.types import RetrievalResult, ScoreRequest
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer

Rerank = Callable[[str, Sequence[Query], Sequence[RetrievalResult]], list[list[RankedItem]]]
"""(user's id, queries, what was retrieved for each) -> each query's items, best first."""


class BatchReranker:
    """A `Rerank` with the heads of a run."""

    def __init__(self, scorer: TrainedScorer) -> None:
        self._scorer = scorer

    @classmethod
    def load(cls, base: Path, heads: Path | None, embeddings: Path | None) -> "BatchReranker":
        """See `TrainedScorer.load`."""
        return cls(TrainedScorer.load(base, heads, embeddings))

    def prefetch(self, texts: Iterable[str]) -> None:
        """See `TrainedScorer.prefetch`."""
        self._scorer.prefetch(texts)

    def __call__(
        self, user_id: str, queries: Sequence[Query], found: Sequence[RetrievalResult]
    ) -> list[list[RankedItem]]:
        """Each query's items with their log-odds of being a good example, best first."""
        width = self._scorer.scorer.evidence
        requests = [
            ScoreRequest("reranker", user_id, 0, q.text, tuple(i.text for i in f.items), reranker_features(f, width))
            for q, f in zip(queries, found, strict=True)
        ]
        scored = score_requests(self._scorer, requests)
        return [rank(f.items, scores) for f, scores in zip(found, scored, strict=True)]
