"""Slots and deadlines."""

import threading
import time

import httpx

from tests.serve.http.live import ASK, serve, settings


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
