"""Trained rerankers and adapters over many requests at once: the one place where requests become batches of pairs."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hydra_ray.core.queries import Query
from hydra_ray.inference.reranking import RankedItem, rank, reranker_features
from hydra_ray.inference.types import RetrievalResult, ScoreRequest
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.utils.device import free_memory, worker_device

SHARED = ""
"""The user whom the shared head scores for."""
Rerank = Callable[[str, Sequence[Query], Sequence[RetrievalResult]], list[list[RankedItem]]]
"""(user's id, queries, what was retrieved for each) -> each query's items, best first."""


def score_requests(scorer: TrainedScorer, requests: Sequence[ScoreRequest]) -> list[tuple[float, ...]]:
    """The log-odds of each request's texts, with the head of its user, in one batch."""
    examples = [
        RankingExample(r.user or SHARED, 0, str(i), r.query, r.texts, (0.0,) * len(r.texts), r.features)
        for i, r in enumerate(requests)
    ]
    return [tuple(scores.tolist()) for scores in scorer.score(examples)]


class BatchReranker:
    """A `Rerank` with the heads of a run."""

    def __init__(self, scorer: TrainedScorer) -> None:
        self._scorer = scorer

    @classmethod
    def load(
        cls, base: Path, heads: Path | None, embeddings: Path | None, encoder: str, num_gpus: float = 0.0
    ) -> "BatchReranker":
        """See `TrainedScorer.load`. num_gpus: what this worker was promised."""
        device = worker_device(num_gpus)
        budget = free_memory(device, num_gpus) if num_gpus else None
        return cls(TrainedScorer.load(base, heads, embeddings, device, budget, encoder))

    def prefetch(self, texts: Iterable[str]) -> None:
        """See `TrainedScorer.prefetch`."""
        self._scorer.prefetch(texts)

    def __call__(
        self, user_id: str, queries: Sequence[Query], found: Sequence[RetrievalResult]
    ) -> list[list[RankedItem]]:
        """Each query's items with their log-odds of being a good example, best first."""
        width = self._scorer.scorer.feature_width
        requests = [
            ScoreRequest("reranker", user_id, 0, q.text, tuple(i.text for i in f.items), reranker_features(f, width))
            for q, f in zip(queries, found, strict=True)
        ]
        scored = score_requests(self._scorer, requests)
        return [rank(f.items, scores) for f, scores in zip(found, scored, strict=True)]
