"""Clients that send too much or too slowly, over real sockets."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from hydra_ray.serve.http import wire
from hydra_ray.serve.http.middleware.request_size import HEADER_BYTES
from tests.serve.http.live import Live, until

ASK = b'{"query": "q"}'
HEAD = b"POST /v1/personalize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n"


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.fixture
def connection(live: Live) -> Iterator[socket.socket]:
    with socket.create_connection(live.address, timeout=20) as opened:
        yield opened


def test_headers_without_end_are_cut_off(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    connection.sendall(b"x-more: " + b"x" * (HEADER_BYTES + 1))
    received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert json.loads(received.split(b"\r\n\r\n")[1])["error"]["type"] == "invalid_request_error"


def test_a_client_that_goes_on_sending_still_reads_why_it_is_refused(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx-more: " + b"x" * 2**22)
    assert read_all(connection).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize("sent", [b"", b"GET /he", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"])
def test_a_client_that_sends_no_whole_head_is_closed(live: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(wire, "HEADER_S", 0.05)
    with socket.create_connection(live.address, timeout=20) as connection:
        connection.sendall(sent)
        assert read_all(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_body_that_does_not_arrive_is_not_waited_for(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "REQUEST_S", 0.05)
    with socket.create_connection(live.address, timeout=20) as connection:
        connection.sendall(HEAD + b"\r\n" + ASK[:5])
        assert read_all(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert live.service.requests == []


def test_the_next_request_of_a_connection_has_the_same_limits(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_connection(live.address, timeout=20) as connection:
        connection.sendall(HEAD + b"\r\n" + ASK)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        until(lambda: live.service.running == 0)
        monkeypatch.setattr(wire, "HEADER_S", 0.05)
        connection.sendall(b"GET /healthz HT")
        assert b"HTTP/1.1 408 Request Timeout\r\n" in read_all(connection)


def test_an_answer_may_take_longer_than_its_request(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "REQUEST_S", 0.02)
    live.service.gate = threading.Event()
    with socket.create_connection(live.address, timeout=20) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n" + ASK)
        until(lambda: live.service.running == 1)
        time.sleep(0.05)  # longer than a request may take
        live.service.gate.set()
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_many_requests_in_one_piece(connection: socket.socket) -> None:
    """Their bodies are longer than headers may be."""
    body = json.dumps({"query": "q" * 20_000}).encode()
    one = HEAD.replace(b"14", str(len(body)).encode()) + b"\r\n" + body
    connection.sendall(one * 3 + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert read_all(connection).count(b"HTTP/1.1 200") == 4
