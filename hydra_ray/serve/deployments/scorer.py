"""The scorer: a thin shell that gathers scorings into batches (`hydra_ray.serve.batch_scorer`)."""

import asyncio
import contextlib
import time
from pathlib import Path

from ray import serve

from hydra_ray.inference.types import Component, ScoreRequest, ScoreResult
from hydra_ray.serve.batch_scorer import BatchScorer, set_threads
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.config import ScorerConfig
from hydra_ray.serve.observability import metric_names
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.utils.network import stay_on_node

BATCH = 32
"""Placeholder of `ScorerConfig.batch`, which the replica sets."""


class Scorer:
    """Scores batches."""

    def __init__(self, bundle: RunArtifacts, state: Path, config: ScorerConfig) -> None:
        stay_on_node()
        set_threads(config.threads)
        self._scorer = BatchScorer(bundle, state, config)
        self._refresh_s = config.refresh_s
        # The event loop collects the next batch while this one is scored.
        self._work = asyncio.Lock()
        self._meters = Meters("Scorer")
        if self._scorer.heads:
            self._meters.watch_cache("heads", *self._scorer.heads.values())
        if self._scorer.embeddings:
            self._meters.watch_cache("embeddings", self._scorer.embeddings)
        self.score.set_max_batch_size(config.max_batch_size)
        self.score.set_batch_wait_timeout_s(config.batch_wait_timeout_s)
        self._scorer.score(
            [ScoreRequest(component, None, 0, "warm", ("up",), self._blank(component)) for component in COMPONENTS]
        )
        self._refreshing = asyncio.get_event_loop().create_task(self._refresh())

    def _blank(self, component: Component) -> tuple[tuple[float, ...], ...]:
        numbers = self._scorer.feature_widths[component]
        return ((0.0,) * numbers,) if numbers else ()

    async def ping(self) -> None:
        """Answers."""

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def score(self, scorings: list[ScoreRequest], deadlines: list[float]) -> list[ScoreResult | None]:
        """None for requests whose deadline has passed."""
        now = time.time()
        due = [i for i, deadline in enumerate(deadlines) if deadline > now]
        for component in COMPONENTS:
            size = sum(scorings[i].component == component for i in due)
            if size:
                self._meters.observe(metric_names.BATCH_SIZE, size, component=component)
        async with self._work:
            scored = await asyncio.to_thread(self._scorer.score, [scorings[i] for i in due])
        found: list[ScoreResult | None] = [None] * len(scorings)
        for i, one in zip(due, scored, strict=True):
            found[i] = one
        return found

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            with contextlib.suppress(Exception):  # the next look may succeed; readers keep the version they have
                async with self._work:
                    await asyncio.to_thread(self._scorer.refresh)
