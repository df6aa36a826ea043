"""The unit figures of the cost model, on a store too small to say anything."""

import pytest

from hydra_ray.bench import costs
from hydra_ray.bench.costs import requests_and_bytes, router_cpu_ms, solve_cpu_ms


@pytest.mark.parametrize("kind", ["bayesian_linear", "linear", "low_rank", "dense"])
def test_a_solve_costs_something(kind: str) -> None:
    assert solve_cpu_ms(kind, 8, 4) > 0


def test_a_router_costs_something() -> None:
    assert router_cpu_ms() > 0


def test_requests_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "READ", 50)
    found = requests_and_bytes(2_000, 2)
    # What is read of metadata is read once.
    assert found["first_requests"] >= found["one_requests"] > 0
    assert found["bucket_bytes"] > 900 * 552
    assert found["many_bytes"] >= 50 * 552
    assert 0 < found["bytes_besides_values"] < 100
