"""What the methods ask the black box, for each evaluated question, and to learn for each training query."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
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
from hydra_ray.llm.lora import lora_name
from hydra_ray.methods.method import method_named
from hydra_ray.methods.question import Call, Reranker
from hydra_ray.pipeline.stage_prompts import StagePrompts, evaluated, texts_of
from hydra_ray.pipeline.stage_rows import Cuts, EvalRow, PromptedRow, StageRow

if TYPE_CHECKING:
    from hydra_ray.inference.scoring import Rerank


def folder_of(trained: Path | None) -> Path:
    """What a method has learned. Raises UserError if it does not train."""
    if trained is None:
        raise UserError("a method reads `trained`, but has no `train`")
    return trained


def folder_of_other(others: Mapping[str, Path], method: str) -> Path:
    """What another method has learned. Raises UserError if it is not among those that the method builds on."""
    if method not in others:
        raise UserError(f"a method reads what {method} has learned, which is none of its `builds_on`")
    return others[method]


class EvalQuestion:
    """One user's question as methods see it (`hydra_ray.methods.method.QuestionContext`)."""

    def __init__(
        self,
        prompts: "MethodPrompts",
        user: User,
        query: Query,
        summary: str,
        index: HistoryIndex,
        ranked: Mapping[Reranker, Sequence[RankedItem]],
    ) -> None:
        """index: of the query's history, by `retrieval.method`. ranked: what it finds, by each of the rerankers that
        there are."""
        self._prompts, self._user, self._index, self._ranked = prompts, user, index, ranked
        self.task, self.query, self.summary, self.config = prompts.task, query, summary, prompts.config
        self.user_id = user.user_id
        self._retriever = cache(self._make_retriever)
        self._prompt = cache(self._make_prompt)

    @property
    def trained(self) -> Path:
        """See `QuestionContext`."""
        return folder_of(self._prompts.trained)

    def trained_by(self, method: str) -> Path:
        """See `QuestionContext`."""
        return folder_of_other(self._prompts.others, method)

    def pick(self, calls: Sequence[Call], place: Callable[[Sequence[Call]], int]) -> Call:
        """See `QuestionContext`."""
        return self._prompts.pick(calls, place)

    def _make_retriever(self, method: str | RetrieverKind) -> Any:
        prompts, config = self._prompts, self._prompts.config.retrieval
        if isinstance(method, RetrieverKind):
            encode = prompts.encode if method.encodes else None
            return method.make(self.query.history, retriever_settings(config, prompts.seed, encode))
        encode = prompts.encode if config.encodes_for(method) else None
        return make_retriever(method, self.query.history, retriever_settings(config, prompts.seed, encode))

    def retrieve(self, method: str | RetrieverKind, n: int) -> list[HistoryItem]:
        """See `QuestionContext`."""
        query = self.query
        if method == self._prompts.config.retrieval.method:
            return list(self._index.search(query.text, n, query.exclude, query.question_id).items)
        retriever, wanted = self._retriever(self._prompts.stands_for(method)), self.task.search_text(query.text)
        return [item for item, _ in retriever.top(wanted, n, query.exclude, query.question_id)]

    def rerank(self, reranker: Reranker) -> list[HistoryItem]:
        """See `QuestionContext`."""
        return self._prompts.builder.examples(self._ranked[reranker])

    def _make_prompt(self, examples: tuple[HistoryItem, ...], summary: str) -> Prompt:
        return self._prompts.builder.prompt(self.query, examples, summary)

    def greedy(
        self, examples: Sequence[HistoryItem] = (), summary: str = "", lora: Callable[[], Path | None] | None = None
    ) -> Call:
        """See `QuestionContext`."""
        prompt = self._prompt(tuple(examples), summary)
        request = self._prompts.greedy(prompt, self.query)
        adapter = self._prompts.adapter(lora) if lora else None
        return Call(prompt, replace(request, lora=lora_name(self.config.llm, adapter)) if adapter else request)

    def samples(self, examples: Sequence[HistoryItem] = ()) -> Call:
        """See `QuestionContext`."""
        prompt = self._prompt(tuple(examples), "")
        return Call(prompt, self._prompts.samples(prompt, self._user, self.query))


class MethodPrompts(StagePrompts):
    """What methods' questions share.

    Attributes:
        trained: What the only method has learned; None: nothing.
        others: What other methods, on which it builds, have learned.
    """

    trained: Path | None = None
    others: Mapping[str, Path] = MappingProxyType({})

    def retrievers(self) -> Iterable[str]:
        """Those that the methods use besides the run's own, where they read more than the history's texts."""
        return ()

    @property
    def searches_embeddings(self) -> bool:
        """See StagePrompts."""
        retrieval = self.config.retrieval
        return super().searches_embeddings or any(map(retrieval.encodes_for, self.retrievers()))

    def stands_for(self, method: str | RetrieverKind) -> str | RetrieverKind:
        """The retriever that is used for the one that a method asks for: itself."""
        return method

    def pick(self, calls: Sequence[Call], place: Callable[[Sequence[Call]], int]) -> Call:
        """See `QuestionContext`."""
        return calls[place(calls)]

    def adapter(self, lora: Callable[[], Path | None]) -> Path | None:
        """The folder of the adapter that a method asks for."""
        return lora()


class EvalPrompts(MethodPrompts):
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
        others: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """rerankers: (base, heads) of those that the methods read. summaries: (user, question) -> profile summary.
        topics: folder of the topic models, if they are read. trained, others: see `MethodPrompts`."""
        from hydra_ray.inference.scoring import BatchReranker

        super().__init__(config, seed, embedding_store)
        self.methods = [method_named(name) for name in methods]
        self.topics = TopicModels.load(topics) if topics else None
        self._trained = {
            name: BatchReranker.load(
                base, heads, embedding_store, self.config.model.encoder, self.config.resources.score.num_gpus
            )
            for name, (base, heads) in rerankers.items()
        }
        self._rerankers: Mapping[Reranker, Rerank] = dict(self._trained)
        self._summaries = summaries
        self.trained, self.others = trained, dict(others)

    def retrievers(self) -> Iterable[str]:
        """See MethodPrompts."""
        for method in self.methods:
            yield from method.retrievers if method.asks is None else method.asks.retrievers(self.config)

    def prefetch(self, users: Sequence[User]) -> None:
        """See StagePrompts."""
        super().prefetch(users)
        for reranker in self._trained.values():
            reranker.prefetch(texts_of(users))

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
                reads_prompts = any(method.reads_prompts for method in self.methods)
                shown = prompt_texts(calls.values()) if reads_prompts else ()
                row = Row(user.user_id, query.query_id, query.text, query.gold, shown)
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


class TrainingPrompts(MethodPrompts):
    """What a method asks about training users' queries (`Method.asks`); each row keeps its prompts as candidates."""

    KIND = StageRow

    def __init__(
        self,
        config: dict[str, Any],
        seed: int,
        embedding_store: Path | None,
        method: str,
        others: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """method: whose calls. others: see `MethodPrompts`."""
        super().__init__(config, seed, embedding_store)
        asks = method_named(method).asks
        assert asks is not None, f"{method} asks nothing"
        self._asks, self.others = asks, dict(others)

    def retrievers(self) -> Iterable[str]:
        """See MethodPrompts."""
        return self._asks.retrievers(self.config)

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[StageRow]]]:
        for user in users:
            queries = self.queries(user)
            for query, index in zip(queries, self.indexes(queries), strict=True):
                calls = self._asks.calls(EvalQuestion(self, user, query, "", index, {})).values()
                row = Row(user.user_id, query.query_id, query.text, query.gold, prompt_texts(calls))
                requests = tuple(call.request for call in calls)
                yield user, PromptedRow(StageRow(row), requests, Cuts.of([call.prompt for call in calls]))


def prompt_texts(calls: Iterable[Call]) -> tuple[str, ...]:
    """What each call asks, in words."""
    return tuple(call.prompt.messages[-1]["content"] for call in calls)
