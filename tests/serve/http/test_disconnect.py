"""Clients that hang up."""

import threading

import httpx
import pytest

from tests.serve.http.live import ASK, hang_up, until

QUESTION = [{"role": "user", "content": "which tag?"}]


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


def test_a_stream_whose_client_leaves_is_not_made_any_further(live, http):
    live.service.gate = threading.Event()
    body = {"model": "made-up", "messages": QUESTION, "stream": True}
    before = live.service.cancelled
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_text())
    until(lambda: live.service.cancelled == before + 1)
    live.service.gate.set()
