"""The service's metrics, through Ray: the table in `metric_names`, and what each part reports of it."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from ray.util import metrics

import hydra_ray.serve.observability.metric_names as names
from hydra_ray.inference.trace import Trace

REPORT_EVERY_S = 1.0
"""How often caches and queues are looked at."""


class Cache(Protocol):
    """What counts its hits and misses, and knows its size."""

    hits: int
    misses: int

    @property
    def bytes(self) -> int: ...


class Calls(Protocol):
    """What counts its calls to the LLM; see `hydra_ray.serve.clients.llm.LLMCounts`."""

    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int


class Meters:
    """One replica's. deployment: its name, a tag of its queue's length."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._made: dict[str, Any] = {}
        self._watched: list[Callable[[], None]] = []

    def count(self, metric: names.Metric, by: float = 1.0, **tags: str) -> None:
        """Adds to a counter."""
        if by > 0:
            self._get(metric).inc(by, tags=tags or None)

    def observe(self, metric: names.Metric, value: float, **tags: str) -> None:
        """Adds to a histogram."""
        self._get(metric).observe(value, tags=tags or None)

    def set(self, metric: names.Metric, value: float, **tags: str) -> None:
        """Sets a gauge."""
        self._get(metric).set(value, tags=tags or None)

    def request(self, route: str, status: int) -> None:
        """One request of the HTTP front; see `hydra_ray.serve.http.middleware.request_log.HttpMeters`."""
        self.count(names.REQUESTS, route=route, status=str(status))
        if status == 429:
            self.count(names.OVERLOADED)

    def answered(self, trace: Trace) -> None:
        """One personalised answer."""
        for stage, ms in trace.ms.items():
            self.observe(names.STAGE_MS, ms, stage=stage)
        for entry in trace.degraded:
            self.count(names.DEGRADED, reason=entry.reason)

    def watch_cache(self, name: str, *caches: Cache) -> None:
        """Reports caches from now on, every second, as one: a gauge that two set would tell of one of them."""
        before = [0, 0]

        def report() -> None:
            hits, misses = sum(cache.hits for cache in caches), sum(cache.misses for cache in caches)
            self.count(names.CACHE_HITS, hits - before[0], cache=name)
            self.count(names.CACHE_MISSES, misses - before[1], cache=name)
            before[:] = [hits, misses]
            self.set(names.CACHE_BYTES, sum(cache.bytes for cache in caches), cache=name)

        self._watch(report)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Reports the number of requests in work or waiting in this replica."""
        self.watch_gauge(names.QUEUE_LENGTH, length, deployment=self._deployment)

    def watch_llm(self, calls: Calls, up: Callable[[], bool]) -> None:
        """Reports the calls to the LLM, whatever they were made for, and whether it answers."""
        self.watch_gauge(names.LLM_UP, up, deployment=self._deployment)
        self.watch_counter(names.LLM_CALLS, lambda: calls.calls)
        self.watch_counter(names.LLM_RETRIES, lambda: calls.retries)
        self.watch_counter(names.LLM_TOKENS, lambda: calls.prompt_tokens, kind="prompt")
        self.watch_counter(names.LLM_TOKENS, lambda: calls.completion_tokens, kind="completion")

    def watch_gauge(self, metric: names.Metric, value: Callable[[], float | None], **tags: str) -> None:
        """Reports a number as it is; None: not known, the last one stays."""

        def report() -> None:
            now = value()
            if now is not None:
                self.set(metric, float(now), **tags)

        self._watch(report)

    def watch_counter(self, metric: names.Metric, value: Callable[[], int], **tags: str) -> None:
        """Reports what a plain number has grown by."""
        before = [0]

        def report() -> None:
            now = value()
            self.count(metric, now - before[0], **tags)
            before[0] = now

        self._watch(report)

    def _watch(self, report: Callable[[], None]) -> None:
        self._watched.append(report)
        _ = self._reporter

    @cached_property
    def _reporter(self) -> threading.Thread:
        def run() -> None:
            while True:
                time.sleep(REPORT_EVERY_S)
                for report in list(self._watched):
                    report()

        thread = threading.Thread(target=run, name="meters", daemon=True)
        thread.start()
        return thread

    def _get(self, metric: names.Metric) -> Any:
        if metric.name not in self._made:
            kinds: Mapping[str, Any] = {
                "counter": metrics.Counter,
                "gauge": metrics.Gauge,
                "histogram": metrics.Histogram,
            }
            more = {"boundaries": list(metric.buckets)} if metric.kind == "histogram" else {}
            self._made[metric.name] = kinds[metric.kind](
                metric.name, description=metric.help, tag_keys=metric.tags, **more
            )
        return self._made[metric.name]
