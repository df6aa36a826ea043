"""Every metric of the service, in one place: the code that counts and the dashboard both take names and tags from here.

Ray prefixes each with `ray_` where Prometheus reads it, and adds tags of its own (node, process, session). No tag ever
holds a user, a query or a key.
"""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """A metric as it is declared to Ray. buckets: a histogram's upper bounds, in the unit that `help` names."""

    name: str
    kind: Kind
    tags: tuple[str, ...]
    buckets: tuple[float, ...]
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """What Prometheus calls it: a histogram has three series, and a counter always ends in `_total`."""
        exported = f"ray_{self.name}"
        if self.kind == "histogram":
            return (f"{exported}_bucket", f"{exported}_sum", f"{exported}_count")
        if self.kind == "counter" and not exported.endswith("_total"):
            return (f"{exported}_total",)
        return (exported,)


# Ray 2.60 exports histograms anew from the middles of their buckets, so sums and means are only as exact as those.
MS = (
    1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0, 300.0, 500.0, 700.0,
    1e3, 1.5e3, 2e3, 3e3, 5e3, 7e3, 1e4, 1.5e4, 3e4, 6e4,
)  # fmt: skip
"""Milliseconds: from a cached lookup to the longest deadline."""

SIZES = (0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5, 64.5, 96.5, 128.5)
"""Queries in a batch: the middles of the first buckets are whole numbers."""

STAGE_MS = Metric(
    "hydra_stage_ms", "histogram", ("stage",), MS,
    "Milliseconds of an answer by stage: retrieve, rerank, llm, select; total is the whole request.",
)  # fmt: skip
REQUESTS = Metric(
    "hydra_requests_total", "counter", ("route", "status"), (),
    "Requests answered, by route template (never the path: it holds user ids) and HTTP status.",
)  # fmt: skip
DEGRADED = Metric(
    "hydra_degraded_total", "counter", ("reason",), (),
    "Answers with something left out, by reason (`hydra_ray.inference.trace.Reason`).",
)  # fmt: skip
BATCH_SIZE = Metric(
    "hydra_batch_size", "histogram", ("component",), SIZES,
    "Queries scored in one batch; component: reranker or adapter.",
)  # fmt: skip
QUEUE_LENGTH = Metric(
    "hydra_queue_length", "gauge", ("deployment",), (),
    "Requests in work or waiting in a replica of the deployment.",
)  # fmt: skip
CACHE_HITS = Metric(
    "hydra_cache_hits_total", "counter", ("cache",), (),
    "Lookups answered from memory; cache: history, heads or embeddings.",
)  # fmt: skip
CACHE_MISSES = Metric(
    "hydra_cache_misses_total", "counter", ("cache",), (),
    "Lookups that had to read or compute; cache: history, heads or embeddings.",
)  # fmt: skip
CACHE_BYTES = Metric(
    "hydra_cache_bytes", "gauge", ("cache",), (),
    "Bytes held in a replica's memory; cache: history, heads or embeddings.",
)  # fmt: skip
LLM_TOKENS = Metric(
    "hydra_llm_tokens_total", "counter", ("kind",), (),
    "Tokens of answers, plain answers and fits as the LLM's server counts them; kind: prompt or completion.",
)  # fmt: skip
LLM_RETRIES = Metric(
    "hydra_llm_retries_total", "counter", (), (),
    "Calls to the LLM beyond the first of a request, for answers and fits.",
)  # fmt: skip
LLM_CALLS = Metric(
    "hydra_llm_calls_total", "counter", (), (),
    "Calls that the LLM answered, for answers, plain answers and fits: what its provider counts.",
)  # fmt: skip
LLM_UP = Metric(
    "hydra_llm_up", "gauge", ("deployment",), (),
    "1 while a replica asks the LLM, 0 from five failed calls in a row until one is answered again.",
)  # fmt: skip
OVERLOADED = Metric(
    "hydra_overloaded_total", "counter", (), (),
    "Requests refused at once because there was no room (429).",
)  # fmt: skip
FITS = Metric(
    "hydra_fits_total", "counter", ("outcome",), (),
    "Fits of single users' heads; outcome: done, failed, or llm_down (the fit waits and is tried again).",
)  # fmt: skip

FITS_UNFINISHED = Metric(
    "hydra_fits_unfinished", "gauge", (), (),
    "Users whose fit is queued or running, in the whole service; each fitter reports the same.",
)  # fmt: skip

METRICS = (
    STAGE_MS, REQUESTS, DEGRADED, BATCH_SIZE, QUEUE_LENGTH, CACHE_HITS, CACHE_MISSES, CACHE_BYTES, LLM_TOKENS,
    LLM_RETRIES, LLM_CALLS, LLM_UP, OVERLOADED, FITS, FITS_UNFINISHED,
)  # fmt: skip

DEPLOYED = ("deployment", "application")
REPLICA = ("deployment", "replica", "application")

RAY_SERVE = (
    Metric("serve_deployment_replica_healthy", "gauge", DEPLOYED, (), "Healthy replicas."),
    Metric("serve_autoscaling_target_replicas", "gauge", DEPLOYED, (), "Replicas aimed at."),
    Metric("serve_deployment_queued_queries", "gauge", DEPLOYED, (), "Requests that wait at their callers."),
    Metric("serve_replica_processing_queries", "gauge", REPLICA, (), "Requests in work."),
    Metric("serve_deployment_replica_starts", "counter", REPLICA, (), "Replicas started."),
)
"""Metrics of Ray Serve 2.60 that the dashboard shows next to ours, with those of their tags that it uses."""
