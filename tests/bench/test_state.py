from argparse import Namespace

import pytest

from hydra_ray.bench import state as bench
from hydra_ray.bench.state_notify import WAIT_S
from hydra_ray.errors import UserError
from tests.serve.conftest import postgres  # noqa: F401
from tests.serve.state.postgres_server import ROLE, PostgresServer


def test_both_back_ends_are_measured_and_nothing_is_left(
    postgres: PostgresServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "CALLS", 8)
    monkeypatch.setattr(bench, "TURNS", 1)
    monkeypatch.setattr(bench, "BUCKETS", 2)
    found = bench.run(Namespace(database=postgres.url(ROLE), users=5))
    for kind in ("append", "history", "state"):
        ratio = found["postgres"][f"{kind}_per_s"] / found["sqlite"][f"{kind}_per_s"]
        assert found["ratios"][kind] == round(ratio, 2) > 0
    assert found["ratio"] == found["ratios"]["append"]
    notify = found["notify"]
    assert notify["append_ratio"] > 0
    assert 0 <= notify["late"] <= 1
    assert 0 <= notify["p50_ms"] <= notify["p95_ms"] < 1e3 * WAIT_S
    assert postgres.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hydra_ray_bench%'", "users") == []


def test_without_a_database() -> None:
    with pytest.raises(UserError, match="name a PostgreSQL database with --database"):
        bench.run(Namespace(name="state"))
