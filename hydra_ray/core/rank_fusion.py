"""Retrievers that do not score items themselves: several fused into one, and a ranking that was made elsewhere."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from hydra_ray.core.bm25 import BM25Kind
from hydra_ray.core.retrieval import (
    BM25Retriever,
    Ranking,
    Retriever,
    RetrieverKind,
    RetrieverSettings,
    make_retriever,
    retriever_kind,
)
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.registries import RETRIEVERS

K = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009): how little the first ranks differ."""


class FusedRetriever:
    """Reciprocal rank fusion: an item scores the sum of 1 / (60 + its rank) over the fused retrievers, from rank 1."""

    def __init__(self, items: Sequence[HistoryItem], parts: Sequence[Retriever]) -> None:
        self.items, self._parts = list(items), parts

    def top(
        self, query: str, n: int, exclude: str | None = None, question_id: str | None = None
    ) -> list[tuple[HistoryItem, float]]:
        """See `Retriever`. Ties go to the newer item."""
        scores = {item.item_id: 0.0 for item in self.items if item.item_id != exclude}
        for part in self._parts:
            for rank, (item, _) in enumerate(part.top(query, len(self.items), exclude, question_id), 1):
                scores[item.item_id] += 1 / (K + rank)
        newest_first = [item for item in reversed(self.items) if item.item_id in scores]
        best_first = sorted(newest_first, key=lambda item: -scores[item.item_id])
        return [(item, scores[item.item_id]) for item in best_first[:n]]


class GivenRanking:
    """The order that a ranking gives to a question's history; the i-th item scores 1 / i.

    Queries that no ranking can know are searched by BM25: history items that are asked as questions, and what users of
    the service ask.
    """

    def __init__(self, items: Sequence[HistoryItem], settings: RetrieverSettings) -> None:
        self.items, self._settings = list(items), settings

    def top(
        self, query: str, n: int, exclude: str | None = None, question_id: str | None = None
    ) -> list[tuple[HistoryItem, float]]:
        """See `Retriever`. Raises UserError for a question that the ranking lacks, or whose history is another."""
        if question_id is None:
            return self._searched.top(query, n, exclude)
        if self._settings.ranking is None:
            raise UserError("retrieval.ranking: needed to retrieve by a ranking; give the file with it")
        order = ranked_items(self.items, question_id, self._settings.ranking())
        kept = [item for item in order if item.item_id != exclude]
        return [(item, 1 / place) for place, item in enumerate(kept[:n], 1)]

    @cached_property
    def _searched(self) -> BM25Retriever:
        kind: BM25Kind = self._settings.bm25
        return BM25Retriever(self.items, kind, self._settings.use_date)


def ranked_items(items: Sequence[HistoryItem], question_id: str, ranking: Ranking) -> list[HistoryItem]:
    """The items of a question's history in a ranking's order. Ids that are not in the history are passed over: items
    that could not be read, or that are newer than the question.

    Raises:
        UserError: The ranking has no such question, lacks items of its history, or names one twice.
    """
    if question_id not in ranking:
        raise UserError(f"retrieval.ranking: ranks nothing for question {question_id}; give the ranking of this data "
                        "(`hydra-ray rank` makes one)")  # fmt: skip
    known: Mapping[str, HistoryItem] = {item.item_id: item for item in items}
    order = [known[item_id] for item_id in ranking[question_id] if item_id in known]
    ranked = {item.item_id for item in order}
    missing = [item_id for item_id in known if item_id not in ranked]
    if missing:
        whose = "is of another history" if not ranked else f"lacks {len(missing)} of the {len(known)} items"
        raise UserError(f"retrieval.ranking: the ranking of question {question_id} {whose} ({', '.join(missing[:3])}); "
                        "give a ranking of all items")  # fmt: skip
    if len(order) > len(ranked):
        raise UserError(f"retrieval.ranking: the ranking of question {question_id} names an item twice; make it again")
    return order


def _fused(items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
    return FusedRetriever(items, [make_retriever(name, items, settings) for name in settings.fuse])


def _fused_bytes(items: Sequence[HistoryItem], settings: RetrieverSettings) -> int:
    return sum(retriever_kind(name).index_bytes(items, settings) for name in settings.fuse)


RETRIEVERS.register("rrf")(RetrieverKind(_fused, index_bytes=_fused_bytes, fuses=True))
RETRIEVERS.register("ranking")(
    RetrieverKind(GivenRanking, index_bytes=retriever_kind("bm25").index_bytes, reads_ranking=True)
)
