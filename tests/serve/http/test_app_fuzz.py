"""A few hundred of the malformed requests; `python -m tests.serve.fuzz` sends thousands, to any service."""

from tests.serve.fuzz import Fuzzed, by_hand, fuzz
from tests.serve.http.live import KEYS, TWO_TENANTS, serve, settings


def test_nothing_malformed_brings_it_down():
    with serve(settings(TWO_TENANTS, body_bytes=1 << 20)) as live:
        fuzzed = fuzz(live.url, 200, KEYS["acme"])
    assert not fuzzed.faults, "\n".join(fuzzed.faults[:10])
    assert fuzzed.statuses.total() >= 200
    assert {400, 401, 404, 405, 413, 422} <= set(fuzzed.statuses)


def test_a_service_that_breaks_is_found_out():
    with serve(settings()) as live:
        live.service.error = RuntimeError("defect")
        fuzzed = Fuzzed()
        by_hand(fuzzed, live.url, 60, key=None, timeout_s=30.0, number=0)
    assert any("500" in fault for fault in fuzzed.faults)
