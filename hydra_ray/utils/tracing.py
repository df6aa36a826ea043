"""Spans of OpenTelemetry: none until `start_tracing` was called in this process, and then never with texts or ids.

A span has a name and attributes that the code gives it. Of an exception it keeps the type alone, as its message may
quote a request. Of a caller's context, `traceparent` is read and passed on; `tracestate` and `baggage`, which hold
whatever a caller puts in, are not.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from hydra_ray.env import OTEL_ENDPOINTS, OTEL_PROTOCOLS, read
from hydra_ray.errors import UserError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Kind = Literal["internal", "server", "client"]
TRACEPARENT = "traceparent"
SERVICE = "hydra-ray"
"""`service.name`, unless the environment names another one."""
PROTOCOL = "http/protobuf"

_tracing: dict[str, Any] = {}
"""provider and tracer of this process; empty: there is no tracing."""


class Span:
    """A span that lasts, or nothing where there is no tracing."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def set(self, **attributes: str | int | float | bool | list[str]) -> None:
        """Sets attributes; a double underscore in a name stands for a dot."""
        if self._span is not None:
            self._span.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        """Gives it another name."""
        if self._span is not None:
            self._span.update_name(name)

    def fail(self, why: str) -> None:
        """Marks it as failed. why: a word that is no text of a user's."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, why))


@contextlib.contextmanager
def span(name: str, kind: Kind = "internal", parent: str | None = None) -> Iterator[Span]:
    """A span as long as the context lasts, below the one that lasts already.

    Args:
        name: what is done; no text or id.
        kind: `server` and `client` are the two ends of a request between processes.
        parent: a `traceparent` that it continues; what is none begins a new trace.
    """
    if not _tracing:
        yield Span()
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = None if parent is None else TraceContextTextMapPropagator().extract({TRACEPARENT: parent})
    with _tracing["tracer"].start_as_current_span(
        name, above, SpanKind[kind.upper()], record_exception=False, set_status_on_exception=False
    ) as started:
        made = Span(started)
        try:
            yield made
        except BaseException as error:
            made.fail(type(error).__name__)
            raise


def traceparent() -> str | None:
    """The span that lasts, as W3C writes it (https://www.w3.org/TR/trace-context/); None where there is none."""
    if not _tracing:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(TRACEPARENT)


def trace_headers() -> Mapping[str, str]:
    """What makes the server of a request continue the trace; empty where there is none."""
    held = traceparent()
    return {} if held is None else {TRACEPARENT: held}


def trace_id() -> str | None:
    """The trace's id, 32 hexadecimal digits; None where there is none."""
    held = traceparent()
    return None if held is None else held.split("-")[1]


def check_tracing() -> None:
    """Raises UserError if spans could not be sent from here: a package is missing, or OTEL_* name no address."""
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise UserError(
            f"traces: the module {error.name} is missing: install opentelemetry-exporter-otlp-proto-http (the extra "
            "`traces` of hydra-ray) on every node"
        ) from None
    for variable in OTEL_ENDPOINTS:
        url = read(variable)
        if url and not url.startswith(("http://", "https://")):
            raise UserError(f"traces: environment variable {variable.name} is no URL: give http://HOST:4318, say")
    for variable in OTEL_PROTOCOLS:
        protocol = read(variable)
        if protocol and protocol != PROTOCOL:
            raise UserError(
                f"traces: environment variable {variable.name} is {protocol!r}, and spans are sent as {PROTOCOL}: "
                "unset it, and give the collector's port for HTTP, often 4318"
            )


def start_tracing(exporter: "SpanExporter | None" = None) -> None:
    """Makes spans in this process from now on. Again: changes nothing.

    Args:
        exporter: gets each span when it ends; None: they go, in batches, to the collector that OTEL_* name.

    Raises:
        UserError: as `check_tracing` does.
    """
    if _tracing:
        return
    check_tracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    provider = TracerProvider(resource=resource)  # its sampler is OTEL_TRACES_SAMPLER
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter()) if exporter is None else SimpleSpanProcessor(exporter)
    )
    _tracing.update(provider=provider, tracer=provider.get_tracer("hydra_ray"))


def stop_tracing() -> None:
    """Sends what is left, and makes no more spans."""
    if _tracing:
        provider = _tracing["provider"]
        _tracing.clear()
        provider.shutdown()
