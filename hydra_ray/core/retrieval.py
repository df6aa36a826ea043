"""Which of a user's own items go into a query's context: BM25, recency, random, dense. One index per user."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.bm25 import BM25, PLUS, BM25Kind, index_bytes
from hydra_ray.core.hashing import stable_seed
from hydra_ray.core.types import HistoryItem
from hydra_ray.registries import RETRIEVERS


class Retriever(Protocol):
    """Ranks a user's items for a query."""

    def top(
        self, query: str, n: int, exclude: str | None = None, question_id: str | None = None
    ) -> list[tuple[HistoryItem, float]]:
        """The n best items with their scores, best first.

        Args:
            query: What is searched for.
            n: Items wanted.
            exclude: The id of an item that may not be returned.
            question_id: Of a question of the data set; None for any other query.
        """
        ...


class ScoringRetriever(ABC):
    """A retriever that scores every item: the highest first, ties to the newer."""

    def __init__(self, items: Sequence[HistoryItem]) -> None:
        self.items = list(items)

    @abstractmethod
    def scores(self, query: str) -> NDArray[np.float64]:
        """How well each item fits the query: float64 [items]. It is asked only where there are items."""

    def top(
        self, query: str, n: int, exclude: str | None = None, question_id: str | None = None
    ) -> list[tuple[HistoryItem, float]]:
        """See `Retriever`."""
        del question_id
        if not self.items:
            return []
        scores = self.scores(query)
        order = np.lexsort((-np.arange(len(self.items)), -scores))
        kept = [int(i) for i in order if self.items[i].item_id != exclude]
        return [(self.items[i], float(scores[i])) for i in kept[:n]]


class BM25Retriever(ScoringRetriever):
    """BM25 over the items' corpus text (`hydra_ray.core.bm25`); one index for all the user's queries."""

    def __init__(self, items: Sequence[HistoryItem], kind: BM25Kind = PLUS, use_date: bool = False) -> None:
        super().__init__(items)
        self._index = BM25([searched_text(item, use_date) for item in self.items], kind)

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
    """Similarity of embeddings: their cosine, or their dot product as they are. `encode`: texts -> float32 [n, d]."""

    def __init__(
        self,
        items: Sequence[HistoryItem],
        encode: "TextEncode",
        similarity: "Similarity" = "cosine",
        use_date: bool = False,
    ) -> None:
        super().__init__(items)
        self._encode, self._similarity = encode, similarity
        self._embeddings = (
            self._embedded([searched_text(item, use_date) for item in self.items]) if self.items else None
        )

    def _embedded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, d], of unit length for the cosine."""
        embeddings = self._encode(texts)
        return normalize_rows(embeddings) if self._similarity == "cosine" else embeddings

    def scores(self, query: str) -> NDArray[np.float64]:
        """See `ScoringRetriever`."""
        assert self._embeddings is not None
        similarities: NDArray[np.float64] = (self._embeddings @ self._embedded_query(query)).astype(np.float64)
        return similarities

    def _embedded_query(self, query: str) -> NDArray[np.float32]:
        """float32 [d], what the items' embeddings are compared with."""
        embedded: NDArray[np.float32] = self._embedded([query])[0]
        return embedded


def searched_text(item: HistoryItem, use_date: bool = False) -> str:
    """What is searched of an item: its corpus text, with use_date its date at the end, where it has one."""
    return f"{item.corpus} date: {item.date}" if use_date and item.date else item.corpus


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
    """Texts to embeddings: float32 [n, d]."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def normalize_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit length, float32 [n, d]; rows of zeros stay."""
    rows: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return rows


Similarity = Literal["cosine", "dot"]
Ranking = Mapping[str, Sequence[str]]
"""Question id -> the ids of all items of its history, best first."""


class RetrieverSettings(NamedTuple):
    """What a retriever may be made with.

    Attributes:
        seed: Of draws.
        encode: Texts to embeddings, for kinds that need them; None for the others.
        bm25: `retrieval.bm25` and `retrieval.tokens`.
        similarity: How embeddings are compared.
        use_date: Whether an item's date is part of what is searched.
        fuse: The retrievers that a fusing kind combines.
        ranking: Loads the ranking that was made elsewhere; None: there is none.
    """

    seed: int = 0
    encode: TextEncode | None = None
    bm25: BM25Kind = PLUS
    similarity: Similarity = "cosine"
    use_date: bool = False
    fuse: tuple[str, ...] = ()
    ranking: Callable[[], Ranking] | None = None


DEFAULTS = RetrieverSettings()


def _nothing(items: Sequence[HistoryItem], settings: RetrieverSettings) -> int:
    del items, settings
    return 0


@dataclass(frozen=True, slots=True)
class RetrieverKind:
    """A value of `retrieval.method`.

    Attributes:
        make: The index of one user's items, oldest first.
        encodes: Whether it needs `RetrieverSettings.encode`.
        index_bytes: What an index takes in memory on top of the texts; the service keeps as many as fit.
        fuses: Whether it combines the retrievers of `RetrieverSettings.fuse`.
        reads_ranking: Whether it reads `RetrieverSettings.ranking`.
    """

    make: Callable[[Sequence[HistoryItem], RetrieverSettings], Retriever]
    encodes: bool = False
    index_bytes: Callable[[Sequence[HistoryItem], RetrieverSettings], int] = _nothing
    fuses: bool = False
    reads_ranking: bool = False


EMBEDDING_BYTES = 4096
"""Of an item's embedding: 1,024 numbers, more than the usual encoders have."""


def _dense(items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
    if settings.encode is None:
        raise ValueError("dense retrieval needs an encoder")
    return DenseRetriever(items, settings.encode, settings.similarity, settings.use_date)


def _bm25_bytes(items: Sequence[HistoryItem], settings: RetrieverSettings) -> int:
    return index_bytes([searched_text(item, settings.use_date) for item in items], settings.bm25)


RETRIEVERS.register("bm25")(
    RetrieverKind(
        lambda items, settings: BM25Retriever(items, settings.bm25, settings.use_date), index_bytes=_bm25_bytes
    )
)
RETRIEVERS.register("recency")(RetrieverKind(lambda items, settings: RecencyRetriever(items)))
RETRIEVERS.register("random")(RetrieverKind(lambda items, settings: RandomRetriever(items, settings.seed)))
RETRIEVERS.register("dense")(
    RetrieverKind(_dense, encodes=True, index_bytes=lambda items, settings: len(items) * EMBEDDING_BYTES)
)


def retriever_kind(method: str) -> RetrieverKind:
    """A registered kind of retriever. Raises UserError if there is none of this name."""
    found: RetrieverKind = RETRIEVERS.get(method)
    return found


def kinds_read(method: str, fuse: Sequence[str]) -> list[RetrieverKind]:
    """The kind that a name stands for, and those that it fuses."""
    kind = retriever_kind(method)
    return [kind, *(retriever_kind(name) for name in fuse)] if kind.fuses else [kind]


def make_retriever(method: str, items: Sequence[HistoryItem], settings: RetrieverSettings = DEFAULTS) -> Retriever:
    """The retriever that `retrieval.method` names.

    Args:
        method: Its name.
        items: One user's history, oldest first.
        settings: What it is made with.

    Raises:
        UserError: There is no such method.
        ValueError: It needs an encoder.
    """
    return retriever_kind(method).make(items, settings)
