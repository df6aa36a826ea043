from hydra_ray.bench.serve_latency import _figures
from hydra_ray.bench.serve_load import Seen


def test_what_is_added_is_all_but_the_llms_time() -> None:
    stages = {"retrieve": 1.0, "rerank": 2.0, "select": 3.0}
    seen = Seen(status=[200, 200], wall_ms=[44.0, 54.0], ms=[{"total": 30.0, "llm": 10.0, **stages}] * 2, seconds=4.0)
    found = _figures([seen], [{"gateway": 0.5, "scorer": 0.25}])
    assert found["added_ms"]["p50"] == 20.0
    assert found["client_added_ms"] == {"p50": 34.0, "p95": 44.0, "p99": 44.0}
    assert found["stages_p50_ms"] == stages
    assert (found["requests"], found["requests_per_s"]) == (2, 0.5)
    assert found["cpu_ms_per_request"] == {"gateway": 250.0, "scorer": 125.0}
