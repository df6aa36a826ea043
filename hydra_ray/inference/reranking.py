"""What the reranker reads of retrieved items, the order that its scores give, and what follows from it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_ray.core.selection import top_k
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import RetrievalResult


@dataclass(frozen=True, slots=True)
class RankedItem:
    """A retrieved item in the reranker's order.

    Attributes:
        item: The item.
        place: Among the retrieved ones, from 0.
        score: Log-odds of being a good example; None where no reranker ran.
    """

    item: HistoryItem
    place: int
    score: float | None = None


def reranker_features(found: RetrievalResult, width: int) -> tuple[tuple[float, ...], ...]:
    """What a reranker reads of each item besides its text: the first `width` of normalized score and recency.

    Returns:
        One tuple an item; nothing at all for width 0.
    """
    if not width:
        return ()
    return tuple(pair[:width] for pair in zip(found.normalized_scores, found.recencies, strict=True))


def rank(items: Sequence[HistoryItem], scores: Sequence[float] | None) -> list[RankedItem]:
    """The items by the reranker's scores, best first, ties to the better retrieved.

    Args:
        items: As they were retrieved, best first.
        scores: The reranker's, one an item; None: it did not run, and the order stays.
    """
    if scores is None:
        return [RankedItem(item, place) for place, item in enumerate(items)]
    return [RankedItem(items[place], place, float(scores[place])) for place in top_k(scores, len(items))]


def showable(ranked: Sequence[RankedItem], n: int) -> list[RankedItem]:
    """Those that may be shown to the LLM: of the n that were retrieved first, in their order here."""
    return [one for one in ranked if one.place < n]


def choose_examples(ranked: Sequence[RankedItem], n: int, k: int) -> list[HistoryItem]:
    """The items that the prompt shows as examples, best first: the first k of those that may be shown."""
    return [one.item for one in showable(ranked, n)[:k]]
