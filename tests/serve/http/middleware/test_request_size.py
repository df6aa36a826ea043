"""Bodies and headers that are too long."""

import json
import socket

import httpx
import pytest

from hydra_ray.serve.http.middleware.request_size import HEADER_BYTES
from tests.serve.http.live import ASK, JSON


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


@pytest.mark.parametrize(("size", "status"), [(HEADER_BYTES // 2, 200), (HEADER_BYTES, 431)])
def test_large_headers(http: httpx.Client, size: int, status: int) -> None:
    for headers in ({"x-large": "x" * size}, {f"x-{i}": "x" * (size // 16) for i in range(16)}):
        answer = http.get("/v1/models", headers=headers)
        assert answer.status_code == status
    assert http.get(f"/v1/models?{'x' * size}").status_code == status
    if status == 431:
        assert "headers are over the limit of 32768 bytes" in answer.json()["error"]["message"]
