"""One question, answered personally: retrieve, rerank, ask, select. Pure orchestration over the stages' protocols.

What fails is left out, in this order, and said so in the answer: adapter down -> the first candidate; reranker down ->
BM25 order; user unknown or head unreadable -> population head; history unreadable -> plain prompt. A plain answer that
fails is left out, too. A prompt that the LLM finds too long is asked shorter. Where no sample holds an answer, and the
history gives none, the answer is empty. Without the LLM there is no answer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hydra_ray
from hydra_ray.core.answer_form import without_thoughts
from hydra_ray.core.candidates import Candidates, candidates_of
from hydra_ray.core.evidence import evidence, weight_of
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import asked as query_of
from hydra_ray.core.records import HistoryItem
from hydra_ray.core.retrieval import shares
from hydra_ray.core.select import pick, top_k, weigh
from hydra_ray.core.text import texts_of
from hydra_ray.pipeline.makers import Maker
from hydra_ray.serve import answers
from hydra_ray.serve.bundle import Bundle
from hydra_ray.serve.shortening import Versions
from hydra_ray.serve.types import (
    Ask,
    DeadlineError,
    Found,
    LLMDownError,
    Module,
    OverloadedError,
    RefusedError,
    Retrieves,
    Sampled,
    Samples,
    Scored,
    Scores,
    Scoring,
    StageDownError,
    UserKey,
)

logger = logging.getLogger(__name__)

UNKNOWN = 0.0
"""Log-odds of a record that no reranker has seen."""


@dataclass
class _Course:
    """One request on its way: what was not done as it should, how long the stages took, whose heads were used."""

    ask: Ask
    user: UserKey | None
    began: float = field(default_factory=time.perf_counter)
    degraded: list[answers.Degraded] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    heads: dict[Module, int] = field(default_factory=dict)
    own_heads: list[Module] = field(default_factory=list)

    def lack(self, reason: answers.Reason, detail: object = "") -> None:
        self.degraded.append(answers.Degraded(reason=reason, detail=str(detail)))

    def clock(self, stage: answers.Stage, began: float) -> None:
        self.ms[stage] = round(1000 * (time.perf_counter() - began), 3)

    def in_time(self) -> None:
        if time.time() > self.ask.deadline:
            raise DeadlineError("the deadline has passed")

    def scored(self, module: Module, scored: Scored) -> None:
        self.heads[module] = scored.version
        if scored.own_head:
            self.own_heads.append(module)
        if scored.problem:
            logger.warning("%s: the user's head cannot be read: %s", module, scored.problem)
            self.lack("head_unreadable", f"the {module}'s; the service's log says why")


class Personaliser:
    """Answers questions of one run's task."""

    def __init__(
        self,
        bundle: Bundle,
        retriever: Retrieves,
        scorer: Scores,
        llm: Samples,
        evidence_of: Mapping[Module, int],
    ) -> None:
        """evidence_of: numbers of evidence that each module reads (`BatchScorer.evidence`)."""
        self._bundle = bundle
        self._config = bundle.config
        self._task = bundle.task
        self._maker = Maker(bundle.config.model_dump(mode="json"), bundle.seed, None)
        self._retriever, self._scorer, self._llm = retriever, scorer, llm
        self._evidence_of = evidence_of

    async def answer(self, user: UserKey | None, ask: Ask, request_id: str) -> answers.Personalised:
        """The answer with its trace. Raises LLMDownError, RefusedError, DeadlineError, OverloadedError."""
        course = _Course(ask, user)
        plain = asyncio.ensure_future(self._plain(ask)) if ask.plain or self._config.adapter.plain_candidate else None
        try:
            found = await self._retrieve(course)
            ranked = await self._rerank(course, found)
            asked = self._versions(ask, self._examples(found, ranked))
            sampled = await self._sample(course, asked)
            version = asked[sampled.shortened]
            prompt = version.prompt
            said = await self._said(course, plain) if plain and self._config.adapter.plain_candidate else None
            raw = (*sampled.texts, said) if said else sampled.texts
            candidates = candidates_of(self._task, raw, found.own, self._config.adapter.own_candidates)
            order, scored, weights = await self._select(course, found, ranked, candidates, said or "")
            texts = [candidates.texts[i] for i in order] or [""]
            cut = self._cut(sampled, found) if order else {text for text in texts if 0 in sampled.cut}
            course.ms["total"] = round(1000 * (time.perf_counter() - course.began), 3)
            best = texts[: ask.n]
            if len(best) < ask.n:
                course.lack("fewer_answers", f"{len(best)} of {ask.n}: the samples hold no more that differ")
            if plain and said is None:
                said = await self._said(course, plain)
            return answers.Personalised(
                answer=best[0],
                answers=best,
                cut=[i for i, text in enumerate(best) if text in cut],
                plain=said if ask.plain else None,
                trace=answers.Trace(
                    request_id=request_id,
                    user_id=user.user_id if user else None,
                    task=self._task.name,
                    items=found.state.items if found.state else 0,
                    retrieved=self._traced_items(found, ranked, prompt),
                    prompt=answers.Prompt(
                        words=sum(len(message["content"].split()) for message in version.messages),
                        tokens=sampled.prompt_tokens,
                        messages=[answers.PromptMessage(**message) for message in version.messages],
                        examples=prompt.examples,
                        dropped_examples=prompt.dropped_examples,
                        question_cut=prompt.question_cut,
                    ),
                    candidates=[
                        answers.TraceCandidate(
                            text=candidates.texts[i],
                            votes=candidates.votes[i],
                            own=candidates.texts[i] in found.own,
                            adapter=scored[i] if scored else None,
                            weight=weights[i] if weights else None,
                        )
                        for i in order
                    ],
                    versions=answers.Versions(
                        run=self._bundle.name,
                        hydra_ray=hydra_ray.__version__,
                        history=found.state.revision if found.state else 0,
                        reranker_heads=course.heads.get("reranker", 0),
                        adapter_heads=course.heads.get("adapter", 0),
                        own_heads=course.own_heads,
                    ),
                    ms=course.ms,
                    llm_tokens=sampled.completion_tokens,
                    degraded=course.degraded,
                ),
            )
        finally:
            if plain:
                plain.cancel()
                await asyncio.gather(plain, return_exceptions=True)

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float
    ) -> tuple[dict[str, Any], int]:
        """The LLM's own answer to a chat request, with no part of ours in it, and the tokens that it took."""
        return await self._llm.forward(messages, parameters, deadline)

    async def forward_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        deadline: float,
        take: Callable[[dict[str, Any]], None],
    ) -> int:
        """`forward`, whose chunks go to `take` as they come; the tokens that it took."""
        return await self._llm.forward_stream(messages, parameters, deadline, take)

    async def _plain(self, ask: Ask) -> str:
        """The LLM's own answer: no examples, temperature 0."""
        asked = self._versions(ask, [])
        sampled = await self._llm.sample(
            asked[0].messages,
            n=1,
            temperature=0.0,
            max_tokens=ask.max_tokens or self._task.max_answer_tokens,
            seed=None,
            deadline=ask.deadline,
            fallbacks=asked.fallbacks,
            more=ask.more,
        )
        said = sampled.texts[0] if sampled.texts else ""
        return next(iter(texts_of(self._task, sampled.texts)), without_thoughts(said).strip())

    async def _said(self, course: _Course, plain: asyncio.Future[str]) -> str | None:
        """The plain answer; None where it failed: the personalised one is there."""
        try:
            return await plain
        except (LLMDownError, RefusedError, DeadlineError, OverloadedError) as error:
            course.lack("plain_failed", error)
            return None

    async def _retrieve(self, course: _Course) -> Found:
        if course.user is None:
            course.lack("no_user")
            return Found()
        began = time.perf_counter()
        try:
            found = await self._retriever.retrieve(
                course.user, course.ask.query, self._maker.support, course.ask.deadline
            )
        except StageDownError as error:
            course.lack("history_unreadable", error)
            return Found()
        finally:
            course.clock("retrieve", began)
        if found.state is None:
            course.lack("user_unknown")
        return found

    async def _rerank(self, course: _Course, found: Found) -> list[tuple[HistoryItem, float]] | None:
        """The retrieved records with the reranker's log-odds, best first; None where it did not run."""
        if not found.items:
            return []
        began = time.perf_counter()
        texts = tuple(item.text for item in found.items)
        share = shares(list(zip(found.items, found.scores, strict=True)))
        read = self._evidence_of["reranker"]
        beside = tuple(numbers[:read] for numbers in zip(share, found.recencies, strict=True)) if read else ()
        try:
            scored = await self._score(course, "reranker", found, texts, beside)
        except StageDownError as error:
            course.lack("reranker_down", error)
            return None
        finally:
            course.clock("rerank", began)
        course.scored("reranker", scored)
        return [(found.items[i], scored.log_odds[i]) for i in top_k(scored.log_odds, len(texts))]

    def _examples(self, found: Found, ranked: list[tuple[HistoryItem, float]] | None) -> list[HistoryItem]:
        retrieved = [(item, UNKNOWN) for item in found.items]
        return self._maker.examples(retrieved, retrieved if ranked is None else ranked)

    def _versions(self, ask: Ask, examples: Sequence[HistoryItem]) -> Versions:
        """The prompt with these examples, best first, and shorter versions of it."""
        return Versions(self._prompt, ask.query, examples, ask.before, self._maker.budget.count)

    def _prompt(self, query: str, examples: Sequence[HistoryItem]) -> Prompt:
        return self._maker.prompt(query_of(query), examples)

    async def _sample(self, course: _Course, asked: Versions) -> Sampled:
        course.in_time()
        ask, adapter, began = course.ask, self._config.adapter, time.perf_counter()
        try:
            sampled = await self._llm.sample(
                asked[0].messages,
                n=max(adapter.n, ask.n),
                temperature=adapter.temperature if ask.temperature is None else ask.temperature,
                max_tokens=ask.max_tokens or self._task.max_answer_tokens,
                seed=ask.seed,
                deadline=ask.deadline,
                fallbacks=asked.fallbacks,
                more=ask.more,
            )
        finally:
            course.clock("llm", began)
        first, used = asked[0], asked[sampled.shortened]
        if sampled.shortened:
            left = f"{used.prompt.examples} of {first.prompt.examples} examples were shown"
            course.lack("prompt_shortened", left + (", less of the conversation" if used.conversation_cut else ""))
        if used.question_cut:
            course.lack("question_cut", "its end was not read")
        return sampled

    def _cut(self, sampled: Sampled, found: Found) -> set[str]:
        """The candidates of which no sample, and no past answer of the user's, is whole."""
        ended = [text for i, text in enumerate(sampled.texts) if i in sampled.cut]
        whole = [text for i, text in enumerate(sampled.texts) if i not in sampled.cut]
        return {*texts_of(self._task, ended)} - {*texts_of(self._task, whole), *found.own}

    async def _select(
        self,
        course: _Course,
        found: Found,
        ranked: list[tuple[HistoryItem, float]] | None,
        candidates: Candidates,
        plain: str,
    ) -> tuple[list[int], list[float], list[float]]:
        """The candidates' places, best first; their log-odds and weights, both empty where the adapter did not run."""
        if not candidates.texts:
            course.lack("no_candidate", "no sample holds an answer of this task")
            return [], [], []
        began = time.perf_counter()
        beside: Sequence[tuple[float, ...]] = ()
        if self._evidence_of["adapter"]:
            # Without a reranker, the N retrieved records weigh the same.
            by_rank = [(i, UNKNOWN) for i in found.items[: self._config.retrieval.n]] if ranked is None else ranked
            supporters = [(item.answer, weight_of(log_odds)) for item, log_odds in by_rank]
            known = (found.own, supporters, found.topics)
            beside = evidence(self._task, course.ask.query, candidates.texts, candidates.samples, *known, plain=plain)
        try:
            scored = await self._score(course, "adapter", found, candidates.texts, tuple(beside))
        except StageDownError as error:
            course.lack("adapter_down", error)
            return list(range(len(candidates.texts))), [], []
        finally:
            course.clock("select", began)
        course.scored("adapter", scored)
        select = self._config.adapter.select
        weights = weigh(scored.log_odds, candidates.votes, select)
        first = pick(self._task, candidates.texts, weights, select)
        rest = [i for i in top_k(weights, len(weights)) if i != first]
        return [first, *rest], list(scored.log_odds), weights

    async def _score(
        self,
        course: _Course,
        module: Module,
        found: Found,
        texts: tuple[str, ...],
        beside: tuple[tuple[float, ...], ...],
    ) -> Scored:
        course.in_time()
        known = course.user is not None and found.state is not None
        user = course.user.stored if course.user and known else None
        least = found.state.heads.get(module, 0) if found.state else 0
        scoring = Scoring(module, user, least, course.ask.query, texts, beside)
        return await self._scorer.score(scoring, course.ask.deadline)

    def _traced_items(
        self, found: Found, ranked: list[tuple[HistoryItem, float]] | None, prompt: Prompt
    ) -> list[answers.TraceItem]:
        """The N retrieved records, in the order that the prompt was filled by."""
        place = {item.item_id: i for i, item in enumerate(found.items)}
        by_rank = [(item, None) for item in found.items] if ranked is None else ranked
        shown = self._config.retrieval.n
        first = [(item, log_odds) for item, log_odds in by_rank if place[item.item_id] < shown]
        return [
            answers.TraceItem(
                item_id=item.item_id,
                text=item.text,
                answer=item.answer,
                date=item.date,
                bm25=found.scores[place[item.item_id]],
                bm25_rank=place[item.item_id],
                reranker=log_odds,
                rank=rank,
                in_prompt=rank < prompt.examples,
            )
            for rank, (item, log_odds) in enumerate(first)
        ]
