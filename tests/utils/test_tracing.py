"""Spans: nested, continued, without what exceptions say; and one line names what keeps spans from being sent."""

import asyncio
import importlib

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from hydra_ray.errors import UserError
from hydra_ray.utils.tracing import check_tracing, span, start_tracing, stop_tracing, trace_headers, trace_id
from tests.utils.spans import CALLER, CALLING, TRACE, recorded


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)


def test_without_tracing_there_is_nothing() -> None:
    with span("a", parent=CALLER) as one:
        one.set(number=1)
        one.rename("b")
        one.fail("no")
        assert trace_headers() == {}
        assert trace_id() is None


def test_spans_of_tasks_lie_below_the_one_that_started_them_and_the_callers_trace_goes_on() -> None:
    async def inner(name: str) -> None:
        with span(name, "client") as call:
            await asyncio.sleep(0)
            call.set(http__response__status_code=200)

    async def course() -> str:
        with span("request", "server", CALLER):
            await asyncio.gather(inner("one"), inner("two"))
            assert trace_id() == CALLER.split("-")[1]
            return trace_headers()["traceparent"]

    with recorded() as exporter:
        held = asyncio.run(course())
    one, two, request = exporter.get_finished_spans()
    assert [one.name, two.name, request.name] == ["one", "two", "request"]
    assert {made.context.trace_id for made in (one, two, request)} == {TRACE}
    assert request.parent.span_id == CALLING
    assert one.parent.span_id == two.parent.span_id == request.context.span_id
    assert held == f"00-{TRACE:032x}-{request.context.span_id:016x}-01"
    assert (request.kind, one.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert dict(one.attributes) == {"http.response.status_code": 200}
    assert request.resource.attributes["service.name"] == "hydra-ray"
    with span("later"):
        pass
    assert len(exporter.get_finished_spans()) == 3


def test_of_an_exception_a_span_keeps_the_type_alone() -> None:
    with recorded() as exporter, pytest.raises(LookupError), span("request"):
        raise LookupError("the query")
    (made,) = exporter.get_finished_spans()
    assert (made.status.status_code, made.status.description) == (StatusCode.ERROR, "LookupError")
    assert made.events == ()
    assert "the query" not in made.to_json()


@pytest.mark.parametrize("parent", ["", "ann", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é" * 55, CALLER[:-1]])
def test_what_is_no_traceparent_begins_a_trace(parent: str) -> None:
    with recorded() as exporter, span("request", parent=parent):
        pass
    (made,) = exporter.get_finished_spans()
    assert made.parent is None
    assert made.context.trace_id not in {0, TRACE}


def test_a_trace_that_its_caller_does_not_keep_is_not_kept_here_and_passed_on_so() -> None:
    with recorded() as exporter, span("request", parent=CALLER[:-2] + "00"), span("retrieve"):
        held = trace_headers()["traceparent"]
    assert exporter.get_finished_spans() == ()
    assert held.startswith(CALLER[:36])
    assert held.endswith("-00")


def test_the_environment_names_the_service_and_the_share_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "answers")
    with recorded() as exporter, span("request"):
        pass
    assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == "answers"
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with recorded() as exporter, span("request"):
        pass
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    check_tracing()
    monkeypatch.setenv(name, "collector:4318")
    with pytest.raises(UserError, match=f"^traces: environment variable {name} is no URL: give http://HOST:4318, say$"):
        start_tracing()


def test_a_protocol_that_is_not_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    check_tracing()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(UserError, match=r"^traces: environment variable OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and "):
        check_tracing()


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"^traces: the module opentelemetry\S+ is missing: install \S+-proto-http "):
        check_tracing()


def test_a_collector_that_is_away_disturbs_nobody(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    start_tracing()
    try:
        with span("request") as made:
            made.set(status=200)
        assert trace_id() is None
    finally:
        stop_tracing()


@pytest.fixture
def unused_port() -> int:
    from hydra_ray.utils.network import free_port

    return free_port()
