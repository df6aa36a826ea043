"""What the methods ask the black box for each evaluated question."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.core.labeling import Row
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import Query
from hydra_ray.core.retrieval import RetrieverKind, make_retriever
from hydra_ray.core.topic_classifier import TopicModels
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.errors import UserError
from hydra_ray.inference.history_index import HistoryIndex, retriever_settings
from hydra_ray.inference.reranking import RankedItem
from hydra_ray.methods.method import Call, Reranker, method_named
from hydra_ray.pipeline.stage_prompts import StagePrompts, evaluated, texts_of
from hydra_ray.pipeline.stage_rows import Cuts, EvalRow, PromptedRow

if TYPE_CHECKING:
    from hydra_ray.inference.scoring import Rerank


def folder_of(trained: Path | None) -> Path:
    """What a method has learned. Raises UserError if it does not train."""
    if trained is None:
        raise UserError("a method reads `trained`, but has no `train`")
    return trained


class EvalQuestion:
    """One user's question as methods see it (`hydra_ray.methods.method.QuestionContext`)."""

    def __init__(
        self,
        prompts: "EvalPrompts",
        user: User,
        query: Query,
        summary: str,
        index: HistoryIndex,
        ranked: Mapping[Reranker, Sequence[RankedItem]],
    ) -> None:
        """index: of the query's history, by `retrieval.method`. ranked: what it finds, by each of the rerankers that
        there are."""
        self._prompts, self._user, self._index, self._ranked = prompts, user, index, ranked
        self.task, self.query, self.summary = prompts.task, query, summary
        self._retriever = cache(self._make_retriever)
        self._prompt = cache(self._make_prompt)

    @property
    def trained(self) -> Path:
        """See `QuestionContext`."""
        return folder_of(self._prompts.trained)

    def _make_retriever(self, method: str | RetrieverKind) -> Any:
        prompts, config = self._prompts, self._prompts.config.retrieval
        if isinstance(method, RetrieverKind):
            encode = prompts.encode if method.encodes else None
            return method.make(self.query.history, retriever_settings(config, prompts.seed, encode))
        encode = prompts.encode if config.encodes_for(method) else None
        return make_retriever(method, self.query.history, retriever_settings(config, prompts.seed, encode))

    def retrieve(self, method: str | RetrieverKind, n: int) -> list[HistoryItem]:
        """See `QuestionContext`."""
        if method == self._prompts.config.retrieval.method:
            return list(self._index.search(self.query.text, n, question_id=self.query.question_id).items)
        retriever, wanted = self._retriever(self._prompts.stands_for(method)), self.task.search_text(self.query.text)
        return [item for item, _ in retriever.top(wanted, n, question_id=self.query.question_id)]

    def rerank(self, reranker: Reranker) -> list[HistoryItem]:
        """See `QuestionContext`."""
        return self._prompts.builder.examples(self._ranked[reranker])

    def _make_prompt(self, examples: tuple[HistoryItem, ...], summary: str) -> Prompt:
        return self._prompts.builder.prompt(self.query, examples, summary)

    def greedy(self, examples: Sequence[HistoryItem] = (), summary: str = "") -> Call:
        """See `QuestionContext`."""
        prompt = self._prompt(tuple(examples), summary)
        return Call(prompt, self._prompts.greedy(prompt, self.query))

    def samples(self, examples: Sequence[HistoryItem] = ()) -> Call:
        """See `QuestionContext`."""
        prompt = self._prompt(tuple(examples), "")
        return Call(prompt, self._prompts.samples(prompt, self._user, self.query))


class EvalPrompts(StagePrompts):
    """The methods' calls for every evaluated question. `EvalRow.methods` names them."""

    KIND = EvalRow

    def __init__(
        self,
        config: dict[str, Any],
        seed: int,
        embedding_store: Path | None,
        methods: Sequence[str],
        rerankers: Mapping[Reranker, tuple[Path, Path | None]],
        summaries: Mapping[tuple[str, str], str],
        topics: Path | None,
        trained: Path | None = None,
    ) -> None:
        """rerankers: (base, heads) of those that the methods read. summaries: (user, question) -> profile summary.
        topics: folder of the topic models, if they are read. trained: what the only method has learned."""
        from hydra_ray.inference.scoring import BatchReranker

        super().__init__(config, seed, embedding_store)
        self.methods = [method_named(name) for name in methods]
        self.topics = TopicModels.load(topics) if topics else None
        self._trained = {
            name: BatchReranker.load(base, heads, embedding_store, self.config.resources.score.num_gpus)
            for name, (base, heads) in rerankers.items()
        }
        self._rerankers: Mapping[Reranker, Rerank] = dict(self._trained)
        self._summaries = summaries
        self.trained = trained

    def prefetch(self, users: Sequence[User]) -> None:
        """See StagePrompts."""
        super().prefetch(users)
        for reranker in self._trained.values():
            reranker.prefetch(texts_of(users))

    def stands_for(self, method: str | RetrieverKind) -> str | RetrieverKind:
        """The retriever that is used for the one that a method asks for: itself."""
        return method

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[EvalRow]]]:
        for user in users:
            for question in evaluated(user, self.config.protocol.questions):
                gold, history = question.gold or "", tuple(user.history_of(question))
                query = Query(question.question_id, question.text, gold, history, None, False, question.head)
                index = self.index(history)
                found = index.search(query.text, self.builder.feature_items, question_id=query.question_id)
                ranked = {n: rerank(user.user_id, [query], [found])[0] for n, rerank in self._rerankers.items()}
                summary = self._summaries.get((user.user_id, question.question_id), "")
                calls = self._calls(EvalQuestion(self, user, query, summary, index, ranked))
                row = Row(user.user_id, query.query_id, query.text, query.gold, ())
                made = EvalRow(
                    row,
                    tuple(calls),
                    question.gold is not None,
                    tuple(item.answer for item in history),
                    self.answer_counts(query, index),
                    self.log_ratios(user, query),
                    found.supporters,
                )
                requests = tuple(call.request for call in calls.values())
                yield user, PromptedRow(made, requests, Cuts.of([call.prompt for call in calls.values()]))

    def _calls(self, question: EvalQuestion) -> dict[str, Call]:
        """All methods' calls by name, each once."""
        calls: dict[str, Call] = {}
        for method in self.methods:
            calls |= {name: call for name, call in method.calls(question).items() if name not in calls}
        return calls
