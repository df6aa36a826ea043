"""Which of a user's own records go into a query's context: BM25, recency, random, dense. One index per user."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from hydra_ray.core.draws import stable_seed
from hydra_ray.core.records import HistoryItem

Case = Literal["fold", "keep"]


def tokenise(text: str, case: Case = "fold") -> list[str]:
    """Whitespace tokens, lower-cased with `fold`; with `keep` as they stand, as LaMP, OPPU and HYDRA search."""
    return (text.lower() if case == "fold" else text).split()


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
    """BM25 (Okapi, rank_bm25's k1 = 1.5, b = .75) over the items' corpus text; one index for all the user's queries."""

    def __init__(self, items: Sequence[HistoryItem], case: Case = "fold") -> None:
        self.items, self._case = list(items), case
        corpus = [tokenise(item.corpus, case) or [""] for item in self.items]
        self._index = BM25Okapi(corpus) if corpus else None

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        if self._index is None:
            return []
        scores = np.asarray(self._index.get_scores(tokenise(query, self._case)), dtype=np.float64)
        return _best(self.items, scores, n, exclude)


class RecencyRetriever:
    """The newest items; the score is the item's rank in time."""

    def __init__(self, items: Sequence[HistoryItem]) -> None:
        self.items = list(items)

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        del query
        return _best(self.items, np.arange(len(self.items), dtype=np.float64), n, exclude)


def shares(found: Sequence[tuple[HistoryItem, float]]) -> list[float]:
    """Scores as shares of the best one's, in [0, 1]; all 0 where even the best says nothing."""
    best = max((score for _, score in found), default=0.0)
    return [min(1.0, max(0.0, score / best)) if best > 0 else 0.0 for _, score in found]


def recencies(found: Sequence[HistoryItem], history: Sequence[HistoryItem], exclude: str | None = None) -> list[float]:
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
        self._vectors = unit(encode([item.corpus for item in self.items])) if self.items else None

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        if self._vectors is None:
            return []
        scores = self._vectors @ unit(self._encode([query]))[0]
        return _best(self.items, scores.astype(np.float64), n, exclude)


class TextEncode(Protocol):
    """Texts to vectors: float32 [n, d]."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit length, float32 [n, d]; rows of zeros stay."""
    rows: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return rows


def cosines(encode: TextEncode, query: str, texts: Sequence[str]) -> list[float]:
    """The cosine similarity of each text to the query."""
    vectors = unit(encode([query, *texts]))
    return [float(x) for x in vectors[1:] @ vectors[0]]


def make_retriever(
    method: str,
    items: Sequence[HistoryItem],
    seed: int = 0,
    encode: TextEncode | None = None,
    case: Case = "fold",
) -> Retriever:
    """The retriever that `retrieval.method` names. case: BM25's, see `tokenise`.

    Raises ValueError for an unknown one, or dense without encoder.
    """
    if method == "bm25":
        return BM25Retriever(items, case)
    if method == "recency":
        return RecencyRetriever(items)
    if method == "random":
        return RandomRetriever(items, seed)
    if method == "dense" and encode is not None:
        return DenseRetriever(items, encode)
    raise ValueError(f"no such retrieval method, or no encoder for it: {method!r}")
