"""The serving bench, tiny: what it counts, and that both services it compares say the same."""

from argparse import Namespace
from pathlib import Path

import pytest

from hydra_ray.bench import serve, serve_latency, serve_overload, serve_ratio
from hydra_ray.errors import UserError
from tests.bench.tiny_world import tiny_in


def test_an_unknown_part_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no such part"):
        serve.run(Namespace(parts="latency,speed"))


@pytest.mark.cluster
def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "USERS", 8)
    monkeypatch.setattr(serve_latency, "CLIENTS", (1, 4))
    monkeypatch.setattr(serve_latency, "ROUNDS", 1)
    monkeypatch.setattr(serve_ratio, "REPEATS", 1)
    monkeypatch.setattr(serve_ratio, "AT_ONCE", 8)
    monkeypatch.setattr(serve_ratio, "USERS_REPEATS", 1)
    monkeypatch.setattr(serve_overload, "LEVELS", (8,))
    monkeypatch.setattr(serve_overload, "TURNS", 1)
    args = Namespace(parts="latency,plain,users,overload", seconds=3.0, model=tiny_in(tmp_path))
    found = serve.run(args)
    for clients in ("1", "4"):
        figures = found["latency"]["clients"][clients]
        assert 0 < figures["added_ms"]["p50"] <= figures["added_ms"]["p99"]
        assert figures["cpu_ms_per_request"]["scorer"] > 0
    rates = found["plain"]["requests_per_s"]
    assert found["ratio"] == pytest.approx(rates["ours"] / rates["plain"], rel=0.02)
    assert found["users"]["ratio"] > 0
    overload = found["overload"]
    assert overload["statuses_5xx"] == overload["connection_errors"] == 0
    assert overload["goodput_per_s"][0] > 0
    before, after = overload["closed_loops_per_s"]
    assert overload["ratio"] == pytest.approx(2 * overload["goodput_per_s"][0] / (before + after), rel=0.02)
