"""Ray Data's pools and readers, without a cluster."""

from typing import Any

import pytest
import ray
import ray.data

from hydra_ray import env
from hydra_ray.utils.ray_data import MOST_READERS, actor_pool, alive_nodes, read_parquet


def test_pools_are_of_one_size_or_grow() -> None:
    fixed, growing = actor_pool((2, 2)), actor_pool((1, 4))
    assert (fixed.min_size, fixed.max_size) == (2, 2)
    assert (growing.min_size, growing.max_size) == (1, 4)


def test_dead_nodes_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 9.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert alive_nodes() == [{"CPU": 2.0}]


@pytest.mark.parametrize(("alive", "readers"), [(0, 1), (3, 3), (100, MOST_READERS)])
def test_footers_are_read_by_one_actor_a_node(monkeypatch: pytest.MonkeyPatch, alive: int, readers: int) -> None:
    chosen: list[int] = []
    asked: dict[str, Any] = {}
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True}] * alive + [{"Alive": False}])
    monkeypatch.setattr(env, "set_footer_readers", chosen.append)
    monkeypatch.setattr(ray.data, "read_parquet", lambda paths, **how: asked.update(paths=paths, **how))
    read_parquet(["a", "b"])
    assert chosen == [readers]
    assert asked == {"paths": ["a", "b"], "partitioning": None}
