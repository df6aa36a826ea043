"""One user's history made searchable: the retrieved items of a query, and how often the user gave which answer."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from hydra_ray.config import RetrievalConfig
from hydra_ray.core.features import AnswerCounts, answer_frequencies, history_answers
from hydra_ray.core.retrieval import RetrieverSettings, TextEncode, make_retriever, normalize_rows, recency_ranks
from hydra_ray.core.tasks import Task
from hydra_ray.core.topic_classifier import TopicModel
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.rankings import load_ranking
from hydra_ray.inference.types import RetrievalResult, UserState


def retriever_settings(config: RetrievalConfig, seed: int = 0, encode: TextEncode | None = None) -> RetrieverSettings:
    """What the section `retrieval` says of all retrievers; its ranking is loaded when a question asks for it."""
    return config.settings(seed, encode, partial(load_ranking, config.ranking) if config.ranking else None)


class HistoryIndex:
    """An index over one history, for any number of queries.

    Attributes:
        items: The history, oldest first.
    """

    def __init__(
        self,
        items: Sequence[HistoryItem],
        task: Task,
        config: RetrievalConfig,
        seed: int = 0,
        encode: TextEncode | None = None,
        likeness: bool = False,
    ) -> None:
        """Args:
        items: The history, oldest first.
        task: What the items are answers to.
        config: The retrieval method and its settings.
        seed: Of the draw, for the method `random` and the like.
        encode: Texts to embeddings, needed for methods such as `dense` and for `likeness`.
        likeness: Whether `answer_counts` weighs items by their likeness to the query.
        """
        self.items = tuple(items)
        self._task, self._encode = task, encode
        self._likeness = likeness and encode is not None and task.closed
        self._retriever = make_retriever(config.method, self.items, retriever_settings(config, seed, encode))
        self._embeddings: NDArray[np.float32] | None = None

    def search(self, query: str, n: int, exclude: str | None = None, question_id: str | None = None) -> RetrievalResult:
        """The items that are most relevant to a query.

        Args:
            query: The query's text.
            n: Items wanted.
            exclude: The id of an item that may not be found: the query's own.
            question_id: Of a question of the data set; None for any other query.

        Returns:
            At most n items, best first, with their scores and recencies; nothing about answers yet.
        """
        top = self._retriever.top(self._task.search_text(query), n, exclude, question_id)
        items = tuple(item for item, _ in top)
        return RetrievalResult(
            items, tuple(score for _, score in top), recencies=tuple(recency_ranks(items, self.items, exclude))
        )

    def answer_counts(self, query: str, unseen: Collection[str] = (), task: Task | None = None) -> AnswerCounts:
        """How often, and for items how like the query, the user gave each answer; empty for free text.

        Args:
            query: The query's text.
            unseen: Ids of items that do not count (`hydra_ray.core.queries.unseen_items`).
            task: Of the query, where it is not the history's (stand-in queries).
        """
        if not (task or self._task).closed:
            return {}
        kept = [i for i, item in enumerate(self.items) if item.item_id not in unseen]
        cosines = self._cosines(query, kept) if self._likeness and kept else []
        return answer_frequencies([self._answers[i] for i in kept], cosines)

    def retrieve(
        self, query: str, n: int, topics: TopicModel | None = None, state: UserState | None = None
    ) -> RetrievalResult:
        """Everything that is retrieved for a query: the n best items, and what speaks for each answer.

        Args:
            query: The query's text.
            n: Items wanted.
            topics: Says what a text alone speaks for, if that is read; needs `encode`.
            state: Of the user, which is handed on.
        """
        found = self.search(query, n)
        answer_counts = self.answer_counts(query)
        ratios = topics.log_ratios(self._encode([query])[0]) if topics and self._encode else {}
        return replace(found, answer_counts=answer_counts, topics=ratios, state=state)

    def embed(self) -> int:
        """Embeds the items now rather than at the first query that needs it; returns the bytes that they take."""
        if self._likeness and self.items and self._encode and self._embeddings is None:
            self._embeddings = normalize_rows(self._encode([item.text for item in self.items]))
        return 0 if self._embeddings is None else self._embeddings.nbytes

    @cached_property
    def _answers(self) -> list[str]:
        """Of the items, normalised; empty for free text."""
        return history_answers(self._task, [item.answer for item in self.items])

    def _cosines(self, query: str, kept: Sequence[int]) -> list[float]:
        """The cosine similarity of the items at `kept` to the query."""
        assert self._encode is not None
        if self._embeddings is None:
            # Query and items in one call: one batch of the encoder.
            embeddings = normalize_rows(self._encode([query, *(item.text for item in self.items)]))
            self._embeddings, embedding = embeddings[1:], embeddings[0]
        else:
            embedding = normalize_rows(self._encode([query]))[0]
        rows = self._embeddings if len(kept) == len(self.items) else self._embeddings[list(kept)]
        return [float(x) for x in rows @ embedding]
