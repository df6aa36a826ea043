"""The spans of a real service arrive at a collector as one trace, from its front to the LLM, without texts and ids."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serve.run_folder import USERS
from tests.serve.running import KEYS, body_of, running, until
from tests.utils.spans import CALLER, CALLING, TRACE

pytestmark = pytest.mark.cluster

QUERY = "redship oldroad"


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to `/v1/traces`, as OTLP over HTTP has it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[ExportTraceServiceRequest] = []

    def spans(self) -> list:
        """All spans so far."""
        return [
            span
            for request in list(self.sent)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        if self.headers.get("Content-Encoding") != "gzip":
            self.server.sent.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        thread.join(10)
        collector.server_close()


def test_one_trace_from_the_front_to_the_llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with running(tmp_path, "traces=true") as service, service.client() as http:
            body = {"user_id": USERS[0], "query": QUERY}
            made = body_of(
                http.post("/v1/personalize", json=body, headers={"traceparent": CALLER, "tracestate": "a=b"})
            )
            until(lambda: len([span for span in collector.spans() if span.name == "Scorer"]) >= 2, 30)
            until(lambda: any(span.name == "POST /v1/personalize" for span in collector.spans()), 30)
            asked = httpx.get(f"{service.llm.url}/traceparents").json()
    spans = [span for span in collector.spans() if int.from_bytes(span.trace_id) == TRACE]
    by_id = {span.span_id: span for span in spans}

    def below(name: str) -> set[str]:
        """The names of the spans that those of a name lie below."""
        return {by_id[span.parent_span_id].name for span in spans if span.name == name}

    (front,) = (span for span in spans if span.name == "POST /v1/personalize")
    assert int.from_bytes(front.parent_span_id) == CALLING
    assert {span.parent_span_id for span in spans if span is not front} <= set(by_id)
    for stage in ("retrieve", "rerank", "llm", "select"):
        assert below(stage) == {front.name}
    assert below("HistoryServer") == {"retrieve"}
    assert below("Scorer") == {"rerank", "select"}
    assert below("LLM POST") == {"llm"}
    calls = {f"00-{TRACE:032x}-{span.span_id.hex()}-01" for span in spans if span.name == "LLM POST"}
    assert {one for one in asked if one and f"{TRACE:032x}" in one} == calls
    whole = b" ".join(request.SerializeToString() for request in collector.sent).decode(errors="replace")
    private = (USERS[0], *QUERY.split(), made["answer"], KEYS["default"], made["trace"]["request_id"], "default")
    assert not [text for text in private if text in whole]
