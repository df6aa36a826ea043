from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.bench import serve_ratio
from hydra_ray.bench.serve_load import Load, Seen


def test_many_users_against_one_without_the_first_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Load] = []

    def made(load: Load) -> Seen:
        asked.append(load)
        first = len(asked) <= 2
        return Seen(status=[200] * load.requests, seconds=90.0 if first else 3.0 if load.users > 1 else 2.0)

    monkeypatch.setattr(serve_ratio, "run_load", made)
    site: Any = SimpleNamespace(ours=SimpleNamespace(url="http://here"))
    found = serve_ratio.users(site)
    assert found["ratio"] == 1.5
    assert found["many_users_s"] == [3.0] * serve_ratio.USERS_REPEATS
    assert found["one_user_s"] == [2.0] * serve_ratio.USERS_REPEATS
    assert [load.users for load in asked[:4]] == [serve_ratio.AT_ONCE, 1, serve_ratio.AT_ONCE, 1]
    assert len({load.seed for load in asked}) == len(asked)
