"""An application behind a real uvicorn on loopback, in a thread of this process."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from hydra_ray.serve.http.app import make_app
from hydra_ray.serve.http.key_lines import parse_keys
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.http.route_context import HttpSettings
from hydra_ray.serve.http.wire import guard_uvicorn
from tests.serve.http.fake_service import FakeService

KEYS = {"acme": "acme-key-0123456789", "bolt": "bolt-key-0123456789"}
TWO_TENANTS = parse_keys([f"{tenant}:{key}" for tenant, key in KEYS.items()], "test")


def settings(keys: Keys | None = None, **more: Any) -> HttpSettings:
    limits: dict[str, Any] = {"body_bytes": 1 << 16, "in_flight": 4, "retry_after_s": 2.0, "deadline_s": 20.0, **more}
    return HttpSettings(keys=keys or Keys.open("acme"), **limits)


SECRETS = {name: f"{name}-key-0123456789" for name in ("plain", "old", "few", "streams")}
OPTIONS = {
    "old": "expires=2001-01-01",
    "few": "requests=2 tokens=40 name=few",
    "streams": "name=streams",
}


@dataclass
class Live:
    """A running server."""

    url: str
    service: FakeService = field(default_factory=FakeService)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)


@contextmanager
def serve(limits: HttpSettings, service: FakeService | None = None) -> Iterator[Live]:
    """Serves until the context ends."""
    service = service or FakeService()
    app = make_app(lambda: service, limits)
    guard_uvicorn()  # as in Serve's proxies
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield Live(f"http://127.0.0.1:{listening.getsockname()[1]}", service)
    finally:
        server.should_exit = True
        thread.join(10)


def until(true, seconds: float = 10.0) -> None:
    """Waits for `true()`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.005)


ASK = {"query": "q", "user_id": "ann"}


JSON = {"Content-Type": "application/json"}


def hang_up(live: Live, path: str = "/v1/personalize", body: dict[str, object] | None = None) -> socket.socket:
    """An open connection with a request in flight."""
    connection = socket.create_connection(live.address)
    content = json.dumps(body or ASK)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}".encode()
    )
    return connection


def get(live, path, name):
    return httpx.get(f"{live.url}{path}", headers={"Authorization": f"Bearer {SECRETS[name]}"})


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, which must have OpenAI's shape."""
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert "\n" not in error["message"]
    return error
