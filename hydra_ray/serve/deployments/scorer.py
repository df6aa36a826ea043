"""The scorer: a thin shell that gathers queries into batches (`query_batcher`) and scores them (`batch_scorer`)."""

import asyncio
import contextlib
from collections.abc import Sequence

from hydra_ray.inference.types import Component, ScoreRequest, ScoreResult
from hydra_ray.serve.batch_scorer import BatchScorer, set_threads
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.config import ScorerConfig
from hydra_ray.serve.observability import metric_names
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.serve.query_batcher import QueryBatcher
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.utils.network import stay_on_node
from hydra_ray.utils.tracing import span, start_tracing


class Scorer:
    """Scores batches."""

    def __init__(self, bundle: RunArtifacts, state: ServiceState, config: ScorerConfig, traces: bool = False) -> None:
        if traces:
            start_tracing()
        stay_on_node()
        set_threads(config.threads)
        self._scorer = BatchScorer(bundle, state, config)
        self._refresh_s = config.refresh_s
        # Batches and refreshes take turns.
        self._work = asyncio.Lock()
        self._meters = Meters("Scorer")
        if self._scorer.heads:
            self._meters.watch_cache("heads", *self._scorer.heads.values())
        if self._scorer.embeddings:
            self._meters.watch_cache("embeddings", self._scorer.embeddings)
        self._scorer.score(
            [ScoreRequest(component, None, 0, "warm", ("up",), self._blank(component)) for component in COMPONENTS]
        )
        self._batcher = QueryBatcher(self._batch, config.max_batch_size, config.batch_wait_timeout_s)
        self._refreshing = asyncio.get_event_loop().create_task(self._refresh())

    def _blank(self, component: Component) -> tuple[tuple[float, ...], ...]:
        numbers = self._scorer.feature_widths[component]
        return ((0.0,) * numbers,) if numbers else ()

    async def ping(self) -> None:
        """Answers."""

    async def score(self, scoring: ScoreRequest, deadline: float, trace: str | None = None) -> ScoreResult | None:
        """None if the deadline (seconds since 1970) passes before the query's batch begins. trace: the
        caller's span."""
        with span("Scorer", "server", trace) as work:
            work.set(hydra__component=scoring.component, hydra__texts=len(scoring.texts))
            return await self._batcher.submit(scoring, deadline)

    async def _batch(self, scorings: Sequence[ScoreRequest]) -> list[ScoreResult]:
        for component in COMPONENTS:
            size = sum(scoring.component == component for scoring in scorings)
            if size:
                self._meters.observe(metric_names.BATCH_SIZE, size, component=component)
        async with self._work:
            return await asyncio.to_thread(self._scorer.score, scorings)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            with contextlib.suppress(Exception):  # the next look may succeed; readers keep the version they have
                forget = await asyncio.to_thread(self._scorer.deleted)
                async with self._work:
                    await asyncio.to_thread(self._scorer.refresh, forget=forget)
