"""Which of a user's own items go into a query's context: BM25, recency, random, dense. One index per user."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.bm25 import BM25, PLUS, BM25Kind, index_bytes
from hydra_ray.core.hashing import stable_seed
from hydra_ray.core.types import HistoryItem
from hydra_ray.registries import RETRIEVERS


class Retriever(Protocol):
    """Ranks a user's items for a query."""

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        """The n best items with their scores, best first; `exclude` is the id of an item that may not be returned."""
        ...


class ScoringRetriever(ABC):
    """A retriever that scores every item: the highest first, ties to the newer."""

    def __init__(self, items: Sequence[HistoryItem]) -> None:
        self.items = list(items)

    @abstractmethod
    def scores(self, query: str) -> NDArray[np.float64]:
        """How well each item fits the query: float64 [items]. It is asked only where there are items."""

    def top(self, query: str, n: int, exclude: str | None = None) -> list[tuple[HistoryItem, float]]:
        """See `Retriever`."""
        if not self.items:
            return []
        scores = self.scores(query)
        order = np.lexsort((-np.arange(len(self.items)), -scores))
        kept = [int(i) for i in order if self.items[i].item_id != exclude]
        return [(self.items[i], float(scores[i])) for i in kept[:n]]


class BM25Retriever(ScoringRetriever):
    """BM25 over the items' corpus text (`hydra_ray.core.bm25`); one index for all the user's queries."""

    def __init__(self, items: Sequence[HistoryItem], kind: BM25Kind = PLUS) -> None:
        super().__init__(items)
        self._index = BM25([item.corpus for item in self.items], kind)

    def scores(self, query: str) -> NDArray[np.float64]:
        """See `ScoringRetriever`."""
        return self._index.scores(query)


class RecencyRetriever(ScoringRetriever):
    """The newest items; the score is the item's rank in time."""

    def scores(self, query: str) -> NDArray[np.float64]:
        """See `ScoringRetriever`."""
        del query
        return np.arange(len(self.items), dtype=np.float64)


class RandomRetriever(ScoringRetriever):
    """A random draw that depends on seed, query and the item's id alone, so that it repeats on every machine."""

    def __init__(self, items: Sequence[HistoryItem], seed: int = 0) -> None:
        super().__init__(items)
        self._seed = seed

    def scores(self, query: str) -> NDArray[np.float64]:
        """See `ScoringRetriever`."""
        drawn = [stable_seed(self._seed, query, item.item_id) / 2**31 for item in self.items]
        return np.asarray(drawn, dtype=np.float64)


class DenseRetriever(ScoringRetriever):
    """Cosine similarity of encodings. `encode`: texts -> float32 [len(texts), d]."""

    def __init__(self, items: Sequence[HistoryItem], encode: "TextEncode") -> None:
        super().__init__(items)
        self._encode = encode
        self._vectors = normalize_rows(encode([item.corpus for item in self.items])) if self.items else None

    def scores(self, query: str) -> NDArray[np.float64]:
        """See `ScoringRetriever`."""
        assert self._vectors is not None
        cosines: NDArray[np.float64] = (self._vectors @ normalize_rows(self._encode([query]))[0]).astype(np.float64)
        return cosines


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


class RetrieverSettings(NamedTuple):
    """What a retriever may be made with.

    Attributes:
        seed: Of draws.
        encode: Texts to embeddings, for kinds that need them; None for the others.
        bm25: `retrieval.bm25` and `retrieval.tokens`.
    """

    seed: int = 0
    encode: TextEncode | None = None
    bm25: BM25Kind = PLUS


@dataclass(frozen=True, slots=True)
class RetrieverKind:
    """A value of `retrieval.method`.

    Attributes:
        make: The index of one user's items, oldest first.
        encodes: Whether it needs `RetrieverSettings.encode`.
        index_bytes: What an index takes in memory on top of the texts; the service keeps as many as fit.
    """

    make: Callable[[Sequence[HistoryItem], RetrieverSettings], Retriever]
    encodes: bool = False
    index_bytes: Callable[[Sequence[HistoryItem], BM25Kind], int] = lambda items, bm25: 0


VECTOR_BYTES = 4096
"""Of an item's embedding: 1,024 numbers, more than the usual encoders have."""


def _dense(items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
    if settings.encode is None:
        raise ValueError("dense retrieval needs an encoder")
    return DenseRetriever(items, settings.encode)


RETRIEVERS.register("bm25")(
    RetrieverKind(
        lambda items, settings: BM25Retriever(items, settings.bm25),
        index_bytes=lambda items, bm25: index_bytes([item.corpus for item in items], bm25),
    )
)
RETRIEVERS.register("recency")(RetrieverKind(lambda items, settings: RecencyRetriever(items)))
RETRIEVERS.register("random")(RetrieverKind(lambda items, settings: RandomRetriever(items, settings.seed)))
RETRIEVERS.register("dense")(
    RetrieverKind(_dense, encodes=True, index_bytes=lambda items, bm25: len(items) * VECTOR_BYTES)
)


def retriever_kind(method: str) -> RetrieverKind:
    """A registered kind of retriever. Raises UserError if there is none of this name."""
    found: RetrieverKind = RETRIEVERS.get(method)
    return found


def make_retriever(
    method: str,
    items: Sequence[HistoryItem],
    seed: int = 0,
    encode: TextEncode | None = None,
    bm25: BM25Kind = PLUS,
) -> Retriever:
    """The retriever that `retrieval.method` names.

    Args:
        method: Its name.
        items: One user's history, oldest first.
        seed: Of draws.
        encode: Texts to embeddings, for methods that need them.
        bm25: Which BM25, for that method.

    Raises:
        UserError: There is no such method.
        ValueError: It needs an encoder.
    """
    return retriever_kind(method).make(items, RetrieverSettings(seed, encode, bm25))
