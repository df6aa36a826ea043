"""Spans of this process, for tests of what makes them."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hydra_ray.utils.tracing import start_tracing, stop_tracing

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLING = (int(part, 16) for part in CALLER.split("-")[1:3])


@contextmanager
def recorded() -> Iterator[InMemorySpanExporter]:
    """What `get_finished_spans` tells of, in the order in which spans end, while the context lasts."""
    exporter = InMemorySpanExporter()
    start_tracing(exporter)
    try:
        yield exporter
    finally:
        stop_tracing()
