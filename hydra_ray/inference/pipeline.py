"""One question, answered personally: retrieve, rerank, prompt, sample, select. Orchestration over three protocols.

What fails is left out, in this order, and the answer says so: adapter down -> the first candidate; reranker down ->
BM25 order; user unknown or head unreadable -> shared head; history unreadable -> plain prompt. A plain answer that
fails is left out, too. A prompt that the LLM finds too long is asked shorter. Where no sample holds an answer, and the
history gives none, the answer is empty. Without the LLM there is no answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hydra_ray.core.answers.markup import without_thoughts
from hydra_ray.core.answers.parse import parsed_texts
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import make_query as query_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.request_state import RequestState
from hydra_ray.inference.reranking import RankedItem, rank, reranker_features
from hydra_ray.inference.selection import CandidateSet, Selection, adapter_features, make_candidates, select
from hydra_ray.inference.shortening import PromptVersions, Version
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.tracing import make_trace
from hydra_ray.inference.types import (
    Component,
    DeadlineError,
    LLMDownError,
    LLMProtocol,
    LLMResponse,
    OverloadedError,
    PersonalizeRequest,
    RefusedError,
    RetrievalResult,
    RetrieverProtocol,
    ScoreRequest,
    ScoreResult,
    ScorerProtocol,
    StageDownError,
    UserKey,
)
from hydra_ray.llm.types import Request
from hydra_ray.utils.tracing import span


class InferencePipeline:
    """Answers questions of one run's task."""

    def __init__(
        self,
        builder: PromptBuilder,
        retriever: RetrieverProtocol,
        scorer: ScorerProtocol,
        llm: LLMProtocol,
        features: Mapping[Component, int],
        *,
        run: str,
    ) -> None:
        """Args:
        builder: Makes the prompts; its config says how the stages work.
        retriever: Gives the user's items for a query.
        scorer: Scores texts with the user's heads.
        llm: Is asked.
        features: Numbers that each component reads of a text besides it
        (`hydra_ray.training.artifacts.trained_scorer.base_feature_width`).
        run: The name of the run that answers, for the trace.
        """
        self._builder, self._config, self._task = builder, builder.config, builder.task
        self._retriever, self._scorer, self._llm = retriever, scorer, llm
        self._features, self._run = features, run

    async def personalize(self, user: UserKey | None, ask: PersonalizeRequest, request_id: str) -> PersonalizedAnswer:
        """The answer with its trace. Raises LLMDownError, RefusedError, DeadlineError, OverloadedError."""
        state, wants_plain = RequestState(ask, user), ask.plain or self._config.adapter.zero_shot_candidate
        pending = asyncio.ensure_future(self._plain(ask)) if wants_plain else None
        try:
            found = await self._retrieve(state)
            ranked = await self._rerank(state, found)
            versions = self._versions(ask, self._builder.examples(ranked))
            sampled = await self._sample(state, versions)
            version = versions[sampled.shortened]
            plain = await self._plain_answer(state, pending) if self._config.adapter.zero_shot_candidate else None
            candidates = make_candidates(self._task, sampled.texts, [plain], found.answer_counts, self._config.adapter)
            selection = await self._select(state, found, ranked, candidates)
            texts = [candidates.texts[i] for i in selection.order] or [""]
            cut = self._cut(sampled, found) if selection.order else {text for text in texts if 0 in sampled.cut}
            state.end()
            best = texts[: ask.n]
            if len(best) < ask.n:
                state.degrade("fewer_answers", f"{len(best)} of {ask.n}: the samples hold no more that differ")
            if not self._config.adapter.zero_shot_candidate:
                plain = await self._plain_answer(state, pending)
            return PersonalizedAnswer(
                answer=best[0],
                answers=best,
                cut=[i for i, text in enumerate(best) if text in cut],
                plain=plain if ask.plain else None,
                trace=make_trace(
                    state, request_id, self._run, self._task.name, found, ranked, self._config.retrieval.top_n, version,
                    sampled, candidates, selection,
                ),
            )  # fmt: skip
        finally:
            if pending:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)

    async def _retrieve(self, state: RequestState) -> RetrievalResult:
        if state.user is None:
            state.degrade("no_user")
            return RetrievalResult()
        with state.timed("retrieve"):
            try:
                found = await self._retriever.retrieve(
                    state.user, state.ask.query, self._builder.feature_items, state.ask.deadline
                )
            except StageDownError as error:
                state.degrade("history_unreadable", error)
                return RetrievalResult()
        if found.state is None:
            state.degrade("user_unknown")
        return found

    async def _rerank(self, state: RequestState, found: RetrievalResult) -> list[RankedItem]:
        """The retrieved items in the reranker's order; as they were retrieved where it did not run."""
        if not found.items:
            return []
        texts = tuple(item.text for item in found.items)
        features = reranker_features(found, self._features["reranker"])
        with state.timed("rerank"):
            try:
                scored = await self._score(state, "reranker", found, texts, features)
            except StageDownError as error:
                state.degrade("reranker_down", error)
                return rank(found.items, None)
        return rank(found.items, scored.scores)

    def _versions(self, ask: PersonalizeRequest, examples: Sequence[HistoryItem]) -> PromptVersions:
        """The prompt with these examples, best first, and shorter versions of it."""
        return PromptVersions(self._prompt, ask.query, examples, ask.before, self._builder.budget.count)

    def _prompt(self, query: str, examples: Sequence[HistoryItem]) -> Prompt:
        return self._builder.prompt(query_of(query), examples)

    async def _sample(self, state: RequestState, versions: PromptVersions) -> LLMResponse:
        state.check_deadline()
        ask, first = state.ask, versions[0]
        request = self._builder.samples(
            first.prompt, self._task, ask.seed, n=ask.n, temperature=ask.temperature, max_tokens=ask.max_tokens
        )
        with state.timed("llm"):
            sampled = await self._ask_llm(ask, versions, request)
        used: Version = versions[sampled.shortened]
        if sampled.shortened:
            left = f"{used.prompt.examples} of {first.prompt.examples} examples were shown"
            state.degrade("prompt_shortened", left + (", less of the conversation" if used.conversation_cut else ""))
        if used.question_cut:
            state.degrade("question_cut", "its end was not read")
        return sampled

    async def _ask_llm(self, ask: PersonalizeRequest, versions: PromptVersions, request: Request) -> LLMResponse:
        """The samples of the first version of the prompt that the LLM reads. request: how to sample."""
        whole = replace(request, messages=versions[0].messages, fallbacks=versions.fallbacks)
        return await self._llm.sample(whole, deadline=ask.deadline, more=ask.more)

    async def _plain(self, ask: PersonalizeRequest) -> str:
        """The LLM's own answer: no examples, temperature 0."""
        versions = self._versions(ask, [])
        request = self._builder.greedy(versions[0].prompt, self._task, ask.max_tokens)
        with span("plain"):
            sampled = await self._ask_llm(ask, versions, request)
        raw = sampled.texts[0] if sampled.texts else ""
        return next(iter(parsed_texts(self._task, sampled.texts)), without_thoughts(raw).strip())

    async def _plain_answer(self, state: RequestState, pending: asyncio.Future[str] | None) -> str | None:
        """The plain answer; None where it is not wanted, or failed: the personalised one is there."""
        if pending is None:
            return None
        try:
            return await pending
        except (LLMDownError, RefusedError, DeadlineError, OverloadedError) as error:
            state.degrade("plain_failed", error)
            return None

    def _cut(self, sampled: LLMResponse, found: RetrievalResult) -> set[str]:
        """The candidates of which no sample, and no past answer of the user's, is whole."""
        ended = [text for i, text in enumerate(sampled.texts) if i in sampled.cut]
        whole = [text for i, text in enumerate(sampled.texts) if i not in sampled.cut]
        return {*parsed_texts(self._task, ended)} - {*parsed_texts(self._task, whole), *found.answer_counts}

    async def _select(
        self, state: RequestState, found: RetrievalResult, ranked: Sequence[RankedItem], candidates: CandidateSet
    ) -> Selection:
        if not candidates.texts:
            state.degrade("no_candidate", "no sample holds an answer of this task")
            return Selection()
        with state.timed("select"):
            features = adapter_features(
                self._task,
                state.ask.query,
                candidates,
                found.answer_counts,
                found.supporters,
                found.topics,
                self._features["adapter"],
            )
            scores = None
            try:
                scores = (await self._score(state, "adapter", found, candidates.texts, features)).scores
            except StageDownError as error:
                state.degrade("adapter_down", error)
            return select(self._task, candidates, scores, self._config.adapter)

    async def _score(
        self,
        state: RequestState,
        component: Component,
        found: RetrievalResult,
        texts: tuple[str, ...],
        features: tuple[tuple[float, ...], ...],
    ) -> ScoreResult:
        state.check_deadline()
        user = state.user.stored if state.user and found.state is not None else None
        version = found.state.heads.get(component, 0) if found.state else 0
        scored = await self._scorer.score(
            ScoreRequest(component, user, version, state.ask.query, texts, features), state.ask.deadline
        )
        state.scored(component, scored)
        return scored
