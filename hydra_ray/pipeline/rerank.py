"""The second stage of retrieval: a trained reranker orders what the first stage found."""

from collections.abc import Sequence
from pathlib import Path

from hydra_ray.core.queries import Query
from hydra_ray.core.records import HistoryItem, User
from hydra_ray.core.select import top_k
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.groups import Group


class Reranker:
    """Orders retrieved items by a trained reranker."""

    def __init__(self, scorer: TrainedScorer) -> None:
        self._scorer = scorer

    @classmethod
    def load(cls, base: Path, heads: Path | None, vectors: Path | None) -> "Reranker":
        """See `TrainedScorer.load`."""
        return cls(TrainedScorer.load(base, heads, vectors))

    def __call__(
        self, user: User, queries: Sequence[Query], found: Sequence[Sequence[tuple[HistoryItem, tuple[float, float]]]]
    ) -> list[list[tuple[HistoryItem, float]]]:
        """Each query's items with their log-odds of being a good example, best first.

        found: the items, each with its share of the best one's retrieval score and its recency.
        """
        read = self._scorer.scorer.evidence
        groups = [
            Group(
                user.user_id,
                0,
                query.query_id,
                query.text,
                tuple(item.text for item, _ in items),
                (0.0,) * len(items),
                tuple(numbers[:read] for _, numbers in items) if read else (),
            )
            for query, items in zip(queries, found, strict=True)
        ]
        scored = zip(found, self._scorer.score(groups), strict=True)
        return [[(items[i][0], float(s[i])) for i in top_k([float(x) for x in s], len(items))] for items, s in scored]
