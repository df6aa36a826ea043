"""What each stage asks the black box, user by user. Classes: Ray Data's actors load a model once and keep it.

Models are imported where they are used: most makers need none, and torch is slow to import in every worker.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.config import Config
from hydra_ray.core.features import AnswerCounts
from hydra_ray.core.hashing import stable_seed
from hydra_ray.core.labeling import OWN_ROW, Row, agreement_rows, own_answer_rows
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import Query, training_queries, unseen_items
from hydra_ray.core.retrieval import TextEncode, searched_text
from hydra_ray.core.topic_classifier import TopicModels
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.reranking import RankedItem, rank
from hydra_ray.inference.types import RetrievalResult
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.stage_rows import CandidateRow, Cuts, LabelRow, PromptedRow, StageRow

if TYPE_CHECKING:
    from hydra_ray.inference.scoring import Rerank


class StagePrompts:
    """What the prompts of all stages share: the run's prompt builder, and the users' histories made searchable."""

    def __init__(
        self, config: dict[str, Any], seed: int, embedding_store: Path | None, encode: TextEncode | None = None
    ) -> None:
        """embedding_store: keeps what dense retrieval encodes. encode: its encoder, if there is one already."""
        self.config, self.seed = Config.model_validate(config), seed
        self.builder = PromptBuilder(self.config, seed)
        self.task = self.builder.task
        self._encode, self._embedding_store = encode, embedding_store
        self.topics: TopicModels | None = None

    @property
    def encode(self) -> TextEncode:
        """The encoder of single texts; it is loaded when the first text is not in the cache."""
        if self._encode is None:
            from hydra_ray.models.text_embeddings import text_embeddings
            from hydra_ray.utils.device import worker_device

            device = worker_device(self.config.resources.score.num_gpus)
            self._encode = text_embeddings(self.config.text_encoder, self._embedding_store, device)
        return self._encode

    @property
    def searches_embeddings(self) -> bool:
        """Whether a retriever that is used here compares embeddings."""
        return self.config.retrieval.encodes

    def prefetch(self, users: Sequence[User]) -> None:
        """Reads what is kept of a batch of users' texts in one scan, for the rows that are made of them; all of them
        that will be read are encoded together."""
        searches, alike = self.searches_embeddings, self.config.adapter.history_similarity
        every = self.config.retrieval.encodes or alike or bool(self.topics)
        if not (searches or every):
            return
        from hydra_ray.models.text_embeddings import BatchEncode

        texts = texts_of(users) if every else []
        if searches:
            corpus = [searched_text(item, self.config.retrieval.use_date) for user in users for item in user.items]
            asked = texts or [question.text for user in users for question in user.questions]
            texts = [*texts, *corpus, *map(self.task.search_text, asked)]
        if isinstance(self.encode, BatchEncode):
            self.encode.prefetch(texts, encode_missing=searches or alike)

    def index(self, history: Sequence[HistoryItem]) -> HistoryIndex:
        """A history made searchable."""
        retrieval, likeness = self.config.retrieval, self.config.adapter.history_similarity
        encode = self.encode if likeness or retrieval.encodes else None
        return HistoryIndex(history, self.task, retrieval, self.seed, encode, likeness)

    def indexes(self, queries: Sequence[Query]) -> list[HistoryIndex]:
        """Each query's history made searchable; one index per distinct history."""
        made: dict[int, HistoryIndex] = {}
        for query in queries:
            if id(query.history) not in made:
                made[id(query.history)] = self.index(query.history)
        return [made[id(query.history)] for query in queries]

    def queries(self, user: User) -> list[Query]:
        protocol = self.config.protocol
        return training_queries(user, protocol.pseudo_queries, protocol.train_questions, self.seed, self.task)

    def greedy(self, prompt: Prompt, query: Query) -> Request:
        """One answer at temperature 0."""
        return self.builder.greedy(prompt, self.builder.task_of(query))

    def samples(self, prompt: Prompt, user: User, query: Query) -> Request:
        """`adapter.num_samples` samples, one seed a query in all methods: the same draws from equal prompts."""
        seed = stable_seed(self.seed, user.user_id, query.query_id)
        return self.builder.samples(prompt, self.builder.task_of(query), seed)

    def answer_counts(self, query: Query, index: HistoryIndex, unseen: Collection[str] = ()) -> AnswerCounts:
        """What the user's history says of each answer. unseen: ids of items that do not count."""
        return index.answer_counts(query.text, unseen, self.builder.task_of(query))

    def log_ratios(self, user: User, query: Query) -> Mapping[str, float]:
        """What the query's text says of each answer: label -> log-odds ratio. To be called after `answer_counts`, which
        embeds the query in one batch with the items if `adapter.history_similarity` is on."""
        if not self.topics:
            return {}
        return self.topics.of(user.user_id, user.split == "train").log_ratios(self.encode([query.text])[0])


class LabelPrompts(StagePrompts):
    """Reranker feedback: every retrieved item alone as the one example, temperature 0."""

    KIND = LabelRow

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[LabelRow]]]:
        for user in users:
            queries = self.queries(user)
            for query, index in zip(queries, self.indexes(queries), strict=True):
                found = index.search(query.text, self.config.retrieval.top_n, query.exclude, query.question_id)
                prompts = [self.builder.prompt(query, [item]) for item in found.items]
                row = Row(user.user_id, query.query_id, query.text, query.gold, tuple(i.text for i in found.items))
                requests = tuple(self.greedy(p, query) for p in prompts)
                label_row = LabelRow(row, found.normalized_scores, found.recencies)
                yield user, PromptedRow(label_row, requests, Cuts.of(prompts))
            free = agreement_rows(
                self.task, user, self.config.reranker.num_history_queries, self.config.retrieval.top_n, self.seed
            )
            history = tuple(user.safe_history())
            queries = [own_query(row, history) for row in free]
            for row, query, index in zip(free, queries, self.indexes(queries), strict=True):
                found = index.search(query.text, len(history), query.exclude)
                yield user, PromptedRow(LabelRow(row, _of_texts(found, found.normalized_scores, row.candidates),
                                           _of_texts(found, found.recencies, row.candidates)))  # fmt: skip


def _of_texts(found: RetrievalResult, numbers: Sequence[float], texts: Sequence[str]) -> tuple[float, ...]:
    """The number of the item with each text, 0 where none was found."""
    of_text = {item.text: number for item, number in zip(found.items, numbers, strict=True)}
    return tuple(of_text.get(text, 0.0) for text in texts)


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """A query with its history made searchable, and its retrieved items in two orders.

    Attributes:
        query: The query.
        index: Of its history.
        found: The items as they were retrieved.
        ranked: The same in the order in which the prompt shows them.
    """

    query: Query
    index: HistoryIndex
    found: RetrievalResult
    ranked: Sequence[RankedItem]


class CandidatePrompts(StagePrompts):
    """Adapter candidates: the prompt with the reranker's top k, n samples."""

    KIND = CandidateRow

    def of_user(self, user: User, rerank: "Rerank | None") -> Iterator[PromptedRow[CandidateRow]]:
        """One user's rows, by the user's own reranker."""
        queries = self.queries(user)
        unseen = unseen_items(queries)
        for one in self._ranked(user, queries, rerank if self.config.adapter.examples == "reranker" else None):
            query = one.query
            prompt = self.builder.prompt(query, self.builder.examples(one.ranked))
            row = Row(user.user_id, query.query_id, query.text, query.gold, ())
            requests = [self.samples(prompt, user, query)]
            if self.config.adapter.zero_shot_candidate:
                requests.append(self.greedy(self.builder.prompt(query, []), query))
            made = self._row(user, row, one, unseen[query.query_id])
            yield PromptedRow(made, tuple(requests), Cuts.of([prompt]))
        free = own_answer_rows(self.task, user, self.config.adapter.num_history_queries, self.seed)
        history = tuple(user.safe_history())
        queries = [own_query(row, history) for row in free]
        unseen = unseen_items(queries)
        for row, one in zip(free, self._ranked(user, queries, None), strict=True):
            yield PromptedRow(self._row(user, row, one, unseen[row.query_id]))

    def _ranked(self, user: User, queries: Sequence[Query], rerank: "Rerank | None") -> list[RankedQuery]:
        indexes, n = self.indexes(queries), self.builder.feature_items
        found = [
            index.search(query.text, n, query.exclude, query.question_id)
            for query, index in zip(queries, indexes, strict=True)
        ]
        ranked = rerank(user.user_id, queries, found) if rerank else [rank(one.items, None) for one in found]
        return [RankedQuery(*parts) for parts in zip(queries, indexes, found, ranked, strict=True)]

    def _row(self, user: User, row: Row, one: RankedQuery, unseen: Collection[str]) -> CandidateRow:
        """The row with what the adapter's features are made of once there are candidates.

        unseen: ids of items that the features may not read (`unseen_items`).
        """
        answer_counts = self.answer_counts(one.query, one.index, unseen)
        return CandidateRow(row, answer_counts, self.log_ratios(user, one.query), one.found.without(unseen).supporters)


class GeneratePrompts(CandidatePrompts):
    """CandidatePrompts for many users, whose heads come from stores."""

    def __init__(
        self,
        config: dict[str, Any],
        seed: int,
        embedding_store: Path | None,
        base: Path,
        heads: dict[str, Path],
        topics: Path | None,
    ) -> None:
        """heads: split -> folder of its users' heads. topics: folder of the topic models, if they are read."""
        from hydra_ray.inference.scoring import BatchReranker

        super().__init__(config, seed, embedding_store)
        self.topics = TopicModels.load(topics) if topics else None
        self._rerank = {
            split: BatchReranker.load(
                base, folder, embedding_store, self.config.model.encoder, self.config.resources.score.num_gpus
            )
            for split, folder in heads.items()
        }

    def prefetch(self, users: Sequence[User]) -> None:
        """See StagePrompts."""
        super().prefetch(users)
        for split, reranker in self._rerank.items():
            reranker.prefetch(texts_of([user for user in users if user.split == split]))

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[CandidateRow]]]:
        for user in users:
            for prompted in self.of_user(user, self._rerank[user.split]):
                yield user, prompted


class OraclePrompts(StagePrompts):
    """Every evaluated question after each of its N retrieved items alone: what a perfect reranker chooses from."""

    KIND = StageRow

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[StageRow]]]:
        for user in users:
            for question in evaluated(user, self.config.protocol.questions):
                if question.gold is None:
                    continue
                history = tuple(user.history_of(question))
                query = Query(question.question_id, question.text, question.gold, history, None, False, question.head)
                found = self.index(history).search(
                    query.text, self.config.retrieval.top_n, question_id=query.question_id
                )
                prompts = [self.builder.prompt(query, [item]) for item in found.items]
                row = Row(user.user_id, query.query_id, query.text, query.gold, ())
                requests = tuple(self.greedy(prompt, query) for prompt in prompts)
                yield user, PromptedRow(StageRow(row), requests, Cuts.of(prompts))


def texts_of(users: Sequence[User]) -> list[str]:
    """The texts of users' items and questions."""
    return [text for user in users for text in (*(x.text for x in user.items), *(x.text for x in user.questions))]


def own_query(row: Row, history: tuple[HistoryItem, ...]) -> Query:
    """The query of a row that costs no call: an item of the user's `history`, asked of all the others."""
    return Query(row.query_id, row.text, row.gold, history, row.query_id.removeprefix(OWN_ROW), True)


def evaluated(user: User, limit: int | None) -> list[Any]:
    """The user's questions, the newest `limit` of them; those without a gold answer are answered, but not scored."""
    return list(user.questions if limit is None else user.questions[-limit:])
