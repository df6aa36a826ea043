from argparse import Namespace

import pytest

from hydra_ray.bench import state, state_growth
from tests.serve.conftest import postgres  # noqa: F401
from tests.serve.state.postgres_server import ROLE, PostgresServer


def test_both_sizes_are_measured_and_nothing_is_left(
    postgres: PostgresServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "CALLS", 8)
    monkeypatch.setattr(state_growth, "TURNS", 1)
    monkeypatch.setattr(state_growth, "FEW", 3)
    found = state_growth.run(Namespace(name="state-growth", database=postgres.url(ROLE), users=9))
    assert (found["few"]["users"], found["many"]["users"]) == (3, 9)
    for kind in ("append", "history", "state"):
        ratio = found["many"][f"{kind}_p95_ms"] / found["few"][f"{kind}_p95_ms"]
        assert found["ratios"][kind] == round(ratio, 2) > 0
    assert found["ratio"] == found["ratios"]["history"]
    assert postgres.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hydra_ray_bench%'", "users") == []
