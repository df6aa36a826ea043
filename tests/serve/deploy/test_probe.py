"""Whether what was deployed answers: what is waited for, and what the failure names."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.probe import (
    PATIENCE_S,
    UNREACHED_S,
    Probe,
    UnreachedError,
    ask_over_http,
    check,
    probes,
)
from hydra_ray.utils.network import free_port

PROBE = Probe("hydra", "http://127.0.0.1:8000/readyz")


class Asked:
    """Answers in turn, the last one for ever, on a clock that goes on with every pause."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers, self.now, self.times = list(answers), 0.0, 0

    def ask(self, url: str) -> str:
        assert url == PROBE.url
        answer = self.answers[min(self.times, len(self.answers) - 1)]
        self.times += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def check(self) -> None:
        check(PROBE, self.ask, lambda: self.now, self.pause)


def test_an_application_may_take_a_while() -> None:
    asked = Asked("llm: it has not answered yet", UnreachedError("refused"), "scorer: no", "")
    asked.check()
    assert asked.times == 4


def test_the_part_that_is_not_ready_is_named() -> None:
    asked = Asked("llm: it cannot be reached")
    with pytest.raises(UserError, match="application hydra gives no answers: llm: it cannot be reached") as raised:
        asked.check()
    assert PROBE.url in str(raised.value)
    assert asked.now == PATIENCE_S


def test_an_address_that_this_machine_cannot_reach() -> None:
    asked = Asked(UnreachedError("refused"))
    with pytest.raises(UnreachedError):
        asked.check()
    assert asked.now == UNREACHED_S
    gone = Asked("llm: no", UnreachedError("refused"))  # reached once: then it is the application that fails
    with pytest.raises(UserError, match="refused"):
        gone.check()


def test_what_is_asked() -> None:
    hydra = {"import_path": "hydra_ray.serve.app:build_app", "name": "hydra"}
    llm = {"import_path": "hydra_ray.llm.vllm_app:build_llm", "name": "llm"}
    urls = {"hydra": "http://127.0.0.1:8000/", "llm": "http://127.0.0.1:8000/llm"}
    assert list(probes({"applications": [llm, hydra]}, urls)) == [
        Probe("llm", "http://127.0.0.1:8000/llm/v1/models"),
        Probe("hydra", "http://127.0.0.1:8000/readyz"),
    ]
    assert list(probes({"applications": [llm]}, {})) == [], "it answers on a port of its own"


class Said(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {
        "/ok": (200, b"{}"),
        "/readyz": (503, b'{"ready": false, "parts": {"history_server": "ok", "llm": "HTTP 500", "scorer": "no"}}'),
        "/gone": (404, b"Not Found"),
        "/llm": (403, b'{"error": {"code": "local_route"}}'),
    }

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Said)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert ask_over_http(f"{url}/ok") == ""
    assert ask_over_http(f"{url}/readyz") == "llm: HTTP 500; scorer: no"
    assert ask_over_http(f"{url}/gone") == "HTTP 404"
    assert ask_over_http(f"{url}/llm") == "", "only its node may ask"
    with pytest.raises(UnreachedError, match="refused"):
        ask_over_http(f"http://127.0.0.1:{free_port()}/")
