"""Bodies, slots, deadlines and clients that hang up."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.serve.http.live import Live, serve, settings, until

ASK = {"query": "q", "user_id": "ann"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def narrow() -> Iterator[Live]:
    """Room for two answers and bodies of 2000 bytes."""
    with serve(settings(in_flight=2, body_bytes=2000)) as running:
        running.service.gate = threading.Event()
        yield running


def hang_up(live: Live, path: str = "/v1/personalize", body: dict[str, object] | None = None) -> socket.socket:
    """An open connection with a request in flight."""
    connection = socket.create_connection(live.address)
    content = json.dumps(body or ASK)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}".encode()
    )
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_slot(narrow, stream):
    chat = {"model": "made-up", "messages": [{"role": "user", "content": "q"}], "stream": stream}
    for _ in range(3):
        opened = [hang_up(narrow), hang_up(narrow, "/v1/chat/completions", chat)]
        until(lambda: narrow.service.running == 2)
        assert httpx.post(f"{narrow.url}/v1/personalize", json=ASK).status_code == 429
        for connection in opened:
            connection.close()
        until(lambda: narrow.service.running == 0)
    assert narrow.service.cancelled == 6
    narrow.service.gate = None
    assert httpx.post(f"{narrow.url}/v1/personalize", json=ASK).status_code == 200


def test_beyond_its_limit_the_service_says_so_at_once(narrow):
    with ThreadPoolExecutor(2) as pool, httpx.Client(base_url=narrow.url) as client:
        waiting = [pool.submit(httpx.post, f"{narrow.url}/v1/personalize", json=ASK, timeout=20) for _ in range(2)]
        until(lambda: narrow.service.running == 2)
        client.get("/healthz")
        began = time.perf_counter()
        for _ in range(20):
            refused = client.post("/v1/personalize", json=ASK)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
            assert refused.json()["error"]["code"] == "overloaded"
        assert (time.perf_counter() - began) / 20 < 0.25
        narrow.service.gate.set()
        assert [done.result().status_code for done in waiting] == [200, 200]
    assert httpx.post(f"{narrow.url}/v1/personalize", json=ASK).status_code == 200


def test_without_room_a_question_is_refused_unread(narrow):
    opened = [hang_up(narrow), hang_up(narrow)]
    until(lambda: narrow.service.running == 2)
    with socket.create_connection(narrow.address, timeout=5) as connection:
        connection.sendall(b"POST /v1/personalize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 429")
    assert httpx.post(f"{narrow.url}/v1/personalize", content=b"no JSON").status_code == 429
    assert httpx.get(f"{narrow.url}/v1/models").status_code == 200
    for connection in opened:
        connection.close()


def test_a_failed_answer_frees_its_slot(narrow):
    narrow.service.error = RuntimeError("defect")
    for _ in range(5):
        assert httpx.post(f"{narrow.url}/v1/personalize", json=ASK).status_code == 500


def test_deadlines():
    with serve(settings(deadline_s=0.2, in_flight=1)) as live:
        live.service.gate = threading.Event()
        for body in (ASK, {**ASK, "options": {"deadline_s": 100}}, {**ASK, "options": {"deadline_s": 0.05}}):
            before = time.time()
            answer = httpx.post(f"{live.url}/v1/personalize", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
            assert 0 < live.service.requests[-1][1].deadline - before < 5
        assert live.service.cancelled == 3
        late = httpx.put(f"{live.url}/v1/users/ann/history", json={"items": [{"item_id": "1", "text": "t"}]})
        assert late.status_code == 504


def test_a_body_over_the_limit(narrow):
    narrow.service.gate = None
    with httpx.Client(base_url=narrow.url) as client:
        for path, method in (
            ("/v1/personalize", "POST"),
            ("/v1/chat/completions", "POST"),
            ("/v1/users/a/history", "PUT"),
        ):
            declared = client.request(method, path, content=b" " * 2001, headers=JSON)
            chunked = client.request(method, path, content=(b" " * 500 for _ in range(5)), headers=JSON)
            for answer in (declared, chunked):
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        just = json.dumps(ASK).encode().ljust(2000)
        assert client.post("/v1/personalize", content=just, headers=JSON).status_code == 200
        assert client.post("/v1/personalize", content=iter([just[:900], just[900:]]), headers=JSON).status_code == 200


def test_a_declared_length_is_refused_before_the_body_comes(narrow):
    with socket.create_connection(narrow.address) as connection:
        connection.sendall(b"POST /v1/personalize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
