"""One user's two heads, fitted while the service runs: by the steps of the main job, so that they are the same heads.

    pseudo-queries -> LLM, one item at a time -> reranker head -> prompts with its top k -> LLM, n samples -> adapter
    head -> both into the head stores

Computing is a thread's work, asking the event loop's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from hydra_ray.config.head_kinds import head_kind
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import Component, LLMProtocol, UserKey
from hydra_ray.pipeline.fit_records import UserFit
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.fitter.llm_labeler import LLMLabeler
from hydra_ray.serve.fitter.publish import publish
from hydra_ray.serve.fitter.training_data import Bases, UserTrainingData, queries_of
from hydra_ray.store.heads.head_store import HeadStore

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """versions: component -> version of the head store that holds the user's head, or its removal. kept_shared_head:
    component -> whether the user has no head of their own now. queries: pseudo-queries. calls: requests to the LLM.
    message: one line, without anything of the history."""

    versions: Mapping[Component, int]
    kept_shared_head: Mapping[Component, bool]
    queries: int
    calls: int
    message: str


@dataclass(frozen=True, slots=True)
class Learned:
    """Heads that are in no store yet, empty for a kind whose users have none of their own; else as `Fitted`."""

    heads: Mapping[Component, UserFit]
    message: str
    queries: int = 0
    calls: int = 0


class UserFitter:
    """Fits users' heads on a run's frozen bases. Belongs to one event loop.

    stores: where the heads go, None for a kind without. in_flight: requests to the LLM at a time, of all fits together.
    request_s: how long each may take (default `llm.timeout_s`). Raises UserError if a base is missing or broken.
    """

    def __init__(
        self,
        bundle: RunArtifacts,
        samples: LLMProtocol,
        stores: Mapping[Component, HeadStore | None],
        *,
        in_flight: int = 16,
        request_s: float | None = None,
        bases: Bases | None = None,
    ) -> None:
        """bases: of the bundle, where they are loaded already."""
        self._bases = bases or Bases(bundle)
        self._stores = stores
        self._kind = bundle.config.model.head
        self._protocol = bundle.config.protocol
        self._asker = LLMLabeler(samples, in_flight, request_s or bundle.config.llm.timeout_s)
        # One thread, since encoder and stores are not made for several at once.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fit")

    def close(self) -> None:
        """Ends the thread once its work is done."""
        self._thread.shutdown()

    async def fit(self, user: UserKey, items: Sequence[HistoryItem]) -> FitOutcome:
        """Fits both heads on the user's items (oldest first) and publishes them, or the removal of those that the
        shared head beat.

        The same items and answers give the heads that `fit-users` gives a test user of that id. A user with too few
        items for a pseudo-query keeps the shared head's. Cancelled before publishing begins, nothing is published;
        later, both are, and only then does the cancelled call end. Fits of one user must not overlap.

        Raises LLMDownError, RefusedError, DeadlineError (see `LLMLabeler.answer`), UserError for texts that cannot be
        encoded and stores that cannot be written; nothing is published then.
        """
        learned = await self.learn(user.user_id, items)
        if not learned.heads:
            return FitOutcome({}, dict.fromkeys(COMPONENTS, True), 0, 0, learned.message)
        deltas = {component: found.delta for component, found in learned.heads.items()}
        versions = await self._finish(publish, self._stores, user.stored, deltas)
        kept = {component: delta is None for component, delta in deltas.items()}
        return FitOutcome(versions, kept, learned.queries, learned.calls, learned.message)

    async def learn(self, user_id: str, items: Sequence[HistoryItem]) -> Learned:
        """What `fit` publishes, without publishing it. Raises as `fit` does."""
        if not self._bases.own_shapes:
            return Learned({}, f"{self._kind} heads: users have none of their own")
        lessons = await self._compute(UserTrainingData, self._bases, user_id, items)
        return await (self._mix(lessons, len(items)) if head_kind(self._kind).routed else self._learn(lessons))

    async def _mix(self, lessons: UserTrainingData, items: int) -> Learned:
        heads: dict[Component, UserFit] = {
            component: await self._compute(lessons.mix, component) for component in COMPONENTS
        }
        return Learned(heads, f"mixed from {items} items")

    async def _learn(self, lessons: UserTrainingData) -> Learned:
        labelling = await self._compute(lessons.label)
        queries = queries_of(labelling)
        if not queries and self._protocol.pseudo_queries:
            return Learned(
                {component: lessons.unfitted() for component in COMPONENTS},
                "the shared head: a fit needs two items, one of them with text and answer",
            )
        labelled = await self._asker.answer(labelling)
        reranker = await self._compute(lessons.learn_reranker, labelled.rows)
        sampled = await self._asker.answer(await self._compute(lessons.generate, reranker))
        adapter = await self._compute(lessons.learn_adapter, sampled.rows)
        heads: dict[Component, UserFit] = {"reranker": reranker, "adapter": adapter}
        calls, missing = labelled.calls + sampled.calls, labelled.missing + sampled.missing
        return Learned(heads, _describe(heads, queries, calls, missing), queries, calls)

    async def _compute(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs it in the thread; a cancelled caller leaves at once, the result is lost."""
        return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))

    async def _finish(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs it in the thread; a cancelled caller leaves at once if it has not begun, otherwise when it has ended."""
        submitted = self._thread.submit(work, *args, **kwargs)
        waiting: asyncio.Future[Any] = asyncio.wrap_future(submitted)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not submitted.cancel():
                await _until_done(waiting)
            raise


async def _until_done(future: asyncio.Future[Any]) -> None:
    """Waits, however often the caller is cancelled meanwhile; what came of it is of no interest."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()


def _describe(heads: Mapping[Component, UserFit], queries: int, calls: int, missing: int) -> str:
    parts = [f"fitted on {queries} of the user's items and {calls} LLM requests"]
    if missing:
        parts.append(f"{missing} of them without an answer")
    kept = [component for component, found in heads.items() if found.delta is None]
    if kept:
        parts.append(f"the shared head stays: {' and '.join(kept)}")
    return "; ".join(parts)
