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

    def __init__(self, base: Path, heads: Path | None, vectors: Path | None) -> None:
        self._scorer = TrainedScorer.load(base, heads, vectors)

    def __call__(
        self, user: User, queries: Sequence[Query], items: Sequence[Sequence[HistoryItem]]
    ) -> list[list[tuple[HistoryItem, float]]]:
        """Each query's items with their log-odds of being a good example, best first."""
        groups = [
            Group(user.user_id, 0, query.query_id, query.text, tuple(item.text for item in found), (0.0,) * len(found))
            for query, found in zip(queries, items, strict=True)
        ]
        scores = self._scorer.score(groups)
        return [
            [(found[i], float(s[i])) for i in top_k([float(x) for x in s], len(found))]
            for found, s in zip(items, scores, strict=True)
        ]
