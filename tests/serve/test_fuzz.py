"""A few hundred of the malformed requests; `python -m tests.serve.fuzz` sends thousands, to any service."""

from tests.serve.fuzz import fuzz
from tests.serve.http.live import KEYS, TWO_TENANTS, serve, settings


def test_nothing_malformed_brings_it_down():
    with serve(settings(TWO_TENANTS, body_bytes=1 << 20)) as live:
        fuzzed = fuzz(live.url, 300, KEYS["acme"], timeout_s=5.0)
    assert not fuzzed.faults, "\n".join(fuzzed.faults[:10])
    assert fuzzed.statuses.total() >= 300
    assert {400, 401, 404, 405, 413, 422} <= set(fuzzed.statuses)


def test_a_service_that_breaks_is_found_out():
    with serve(settings()) as live:
        live.service.error = RuntimeError("defect")
        fuzzed = fuzz(live.url, 60, timeout_s=5.0)
    assert any("500" in fault for fault in fuzzed.faults)
