"""Which of a user's own items go into a query's context: BM25, recency, random, dense. One index per user."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.bm25 import BM25, PLUS, BM25Kind
from hydra_ray.core.hashing import stable_seed
from hydra_ray.core.types import HistoryItem


class Retriever(Protocol):
    """Ranks a user's items for a query."""

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        """The n best items with their scores, best first; `exclude` is the id of an item that may not be returned."""
        ...


def _best(
    items: Sequence[HistoryItem], scores: NDArray[np.float64], n: int, exclude: str | None
) -> list[tuple[HistoryItem, float]]:
    """Highest scores first, ties to the newer item."""
    order = np.lexsort((-np.arange(len(items)), -scores))
    kept = [int(i) for i in order if items[i].item_id != exclude]
    return [(items[i], float(scores[i])) for i in kept[:n]]


class BM25Retriever:
    """BM25 over the items' corpus text (`hydra_ray.core.bm25`); one index for all the user's queries."""

    def __init__(self, items: Sequence[HistoryItem], kind: BM25Kind = PLUS) -> None:
        self.items = list(items)
        self._index = BM25([item.corpus for item in self.items], kind)

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        return _best(self.items, self._index.scores(query), n, exclude)


class RecencyRetriever:
    """The newest items; the score is the item's rank in time."""

    def __init__(self, items: Sequence[HistoryItem]) -> None:
        self.items = list(items)

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        del query
        return _best(self.items, np.arange(len(self.items), dtype=np.float64), n, exclude)


def normalized_scores(found: Sequence[tuple[HistoryItem, float]]) -> list[float]:
    """Scores as shares of the best one's, in [0, 1]; all 0 where even the best says nothing."""
    best = max((score for _, score in found), default=0.0)
    return [min(1.0, max(0.0, score / best)) if best > 0 else 0.0 for _, score in found]


def recency_ranks(
    found: Sequence[HistoryItem], history: Sequence[HistoryItem], exclude: str | None = None
) -> list[float]:
    """Each found item's rank in time among the items of its history that may be retrieved, in (0, 1].

    Of n items, oldest first, the i-th has i / n: the newest 1, the oldest 1 / n. The order is the history's own, as
    with the method `recency`: by date, those of a date as they came, undated ones before all others. exclude: the id of
    the item that may not be retrieved, which does not count.
    """
    kept = (item.item_id for item in history if item.item_id != exclude)
    place = {item_id: i for i, item_id in enumerate(kept, 1)}
    return [place[item.item_id] / len(place) for item in found]


class RandomRetriever:
    """A random draw that depends on seed, query and the item's id alone, so that it repeats on every machine."""

    def __init__(self, items: Sequence[HistoryItem], seed: int = 0) -> None:
        self.items = list(items)
        self.seed = seed

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        scores = [stable_seed(self.seed, query, item.item_id) / 2**31 for item in self.items]
        return _best(self.items, np.asarray(scores, dtype=np.float64), n, exclude)


class DenseRetriever:
    """Cosine similarity of encodings. `encode`: texts -> float32 [len(texts), d]."""

    def __init__(self, items: Sequence[HistoryItem], encode: "TextEncode") -> None:
        self.items = list(items)
        self._encode = encode
        self._vectors = normalize_rows(encode([item.corpus for item in self.items])) if self.items else None

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        if self._vectors is None:
            return []
        scores = self._vectors @ normalize_rows(self._encode([query]))[0]
        return _best(self.items, scores.astype(np.float64), n, exclude)


class TextEncode(Protocol):
    """Texts to vectors: float32 [n, d]."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def normalize_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit length, float32 [n, d]; rows of zeros stay."""
    rows: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return rows


def cosine_similarities(encode: TextEncode, query: str, texts: Sequence[str]) -> list[float]:
    """The cosine similarity of each text to the query."""
    vectors = normalize_rows(encode([query, *texts]))
    return [float(x) for x in vectors[1:] @ vectors[0]]


def make_retriever(
    method: str,
    items: Sequence[HistoryItem],
    seed: int = 0,
    encode: TextEncode | None = None,
    bm25: BM25Kind = PLUS,
) -> Retriever:
    """The retriever that `retrieval.method` names. bm25: which BM25, for that method.

    Raises ValueError for an unknown method, or dense without encoder.
    """
    if method == "bm25":
        return BM25Retriever(items, bm25)
    if method == "recency":
        return RecencyRetriever(items)
    if method == "random":
        return RandomRetriever(items, seed)
    if method == "dense" and encode is not None:
        return DenseRetriever(items, encode)
    raise ValueError(f"no such retrieval method, or no encoder for it: {method!r}")
