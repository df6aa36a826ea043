"""A request's span: the caller's trace goes on, with route and status, and without path, texts and ids."""

from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hydra_ray.utils.tracing import span
from tests.serve.http.live import Live, serve, settings, until
from tests.utils.spans import CALLER, CALLING, TRACE, recorded

PRIVATE = ("the-query", "the-user", "the-text", "the-key", "the-failure", "the-request")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with recorded() as exporter:
        yield exporter


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> Iterator[Live]:
    with serve(settings(traces=True)) as running:
        yield running


def send(live: Live, method: str, path: str, **more: object) -> httpx.Response:
    headers = {"traceparent": CALLER, "tracestate": "who=the-user", "baggage": "user=the-user", "x-request-id":
               "the-request", "Authorization": "Bearer the-key"}  # fmt: skip
    return httpx.request(method, live.url + path, headers=headers, timeout=10, **more)  # type: ignore[arg-type]


def test_route_status_and_what_is_below(traced: Live, spans: InMemorySpanExporter, lines) -> None:
    answer = traced.service.personalize

    async def personalize(*args: object) -> object:
        with span("retrieve"):
            return await answer(*args)  # type: ignore[arg-type]

    traced.service.personalize = personalize  # type: ignore[method-assign,assignment]
    assert send(traced, "POST", "/v1/personalize", json={"query": "the-query", "user_id": "the-user"}).is_success
    until(lambda: len(spans.get_finished_spans()) == 2)
    retrieve, request = spans.get_finished_spans()
    assert (request.name, request.kind) == ("POST /v1/personalize", SpanKind.SERVER)
    assert dict(request.attributes) == {
        "http.route": "POST /v1/personalize",
        "http.response.status_code": 200,
        "hydra.degraded": ("user_unknown",),
    }
    assert (request.context.trace_id, request.parent.span_id) == (TRACE, CALLING)
    assert (retrieve.name, retrieve.parent.span_id) == ("retrieve", request.context.span_id)
    assert [line["trace_id"] for line in lines()] == [f"{TRACE:032x}"]


def test_nothing_private(traced: Live, spans: InMemorySpanExporter) -> None:
    traced.service.error = RuntimeError("the-failure")
    answer = send(traced, "PUT", "/v1/users/the-user/history", json={"items": [{"item_id": "1", "text": "the-text"}]})
    assert answer.status_code == 500
    send(traced, "GET", "/v1/users?prefix=the-user")
    send(traced, "GET", "/v1/users/the-user/none")
    send(traced, "POST", "/v1/personalize", json={"query": "the-query", "the-text": 1})
    until(lambda: len(spans.get_finished_spans()) == 4)
    made = spans.get_finished_spans()
    assert made[0].name == "PUT /v1/users/{user_id}/history"
    assert made[0].status.status_code == StatusCode.ERROR
    assert made[3].status.status_code == StatusCode.UNSET
    whole = " ".join(one.to_json() for one in made)
    assert not [word for word in PRIVATE if word in whole]


def test_off_unless_asked_for(spans: InMemorySpanExporter) -> None:
    with serve(settings()) as running:
        assert send(running, "GET", "/v1/models").is_success
    assert spans.get_finished_spans() == ()
