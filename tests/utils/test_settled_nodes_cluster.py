"""A real Ray of one node: it answers, and a node that has gone is known to have gone."""

import time

import pytest
import ray

from hydra_ray.utils.settled_nodes import wait_until_settled


@pytest.mark.cluster
@pytest.mark.timeout(120)
def test_nodes_that_answer_are_not_waited_for(cluster: str) -> None:
    assert ray.is_initialized()
    began = time.monotonic()
    wait_until_settled(60)
    assert time.monotonic() - began < 50


@pytest.mark.cluster
@pytest.mark.timeout(120)
def test_a_node_that_does_not_answer_is_waited_for_so_long(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as Ray lists it as alive."""
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "ab" * 28, "Alive": True}])
    began = time.monotonic()
    wait_until_settled(3)
    assert time.monotonic() - began >= 3
