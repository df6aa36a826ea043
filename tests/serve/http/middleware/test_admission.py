"""Beyond its limit the service says so at once."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.serve.http.live import ASK, hang_up, until


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
