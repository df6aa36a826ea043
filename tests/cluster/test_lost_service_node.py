"""The service on three nodes, each with a proxy of its own, of which one dies under load."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.deployed import Asking, deploy, llm_at_desk, serve_file
from tests.cluster.ray_nodes import RayNodes, started

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1200),
]

CLIENTS = 3
"""Of each node's proxy."""
TWO = {"replicas": [2, 2], "num_cpus": 0.5}
APART = [{"name": name, "max_replicas_per_node": 1} for name in ("Gateway", "HistoryServer", "Scorer")]
"""Two replicas of what answers, on two nodes."""


@pytest.fixture
def nodes(namespaces: None) -> Iterator[RayNodes]:
    with started(["one", "two"], RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S="1") as made:
        yield made


def test_a_node_dies_under_load(nodes: RayNodes, tmp_path: Path) -> None:
    """Requests fail that were in flight then, and no others; who asks the dead node's proxy goes elsewhere."""
    with llm_at_desk(nodes) as llm_url:
        parts = {"gateway": TWO, "history_server": TWO, "scorer": TWO}
        deploy(nodes, serve_file(tmp_path, llm_url, "EveryNode", parts, APART))
        with Asking(nodes, nodes.machines(["head", "one", "two"]), CLIENTS) as asking:
            asking.until_answers(["head", "one", "two"], 5)
            killed = time.monotonic()
            nodes.network.machines["one"].kill()
            asking.gone.add("one")
            asking.until_answers(["head", "two"], 40)
    in_flight = [answer for answer in asking.seen if answer.began <= killed <= answer.ended]
    assert len(in_flight) <= 3 * CLIENTS
    assert not [answer for answer in asking.failed() if answer not in in_flight and answer.proxy != "one"]
