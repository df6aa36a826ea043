"""The service on a cluster that adds nodes for its replicas under load, and takes them away again."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.deployed import Asking, deploy, llm_at_desk, script, serve_file
from tests.cluster.ray_nodes import RayNodes

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1500),
]

MOST = 2
"""Worker nodes, of 3 CPUs each: the first has room for what is there without load."""
CLIENTS = 8
ANSWER_S = 1.0
"""Of the LLM, so that load is requests in flight and not work, for which there are too few processors here."""
QUICKLY = {"look_back_period_s": 11, "upscale_delay_s": 1, "downscale_delay_s": 10}
PARTS = {
    "gateway": {"replicas": [1, 3], "num_cpus": 1, "target_ongoing_requests": 2, **QUICKLY},
    "history_server": {"replicas": [1, 1], "num_cpus": 1},
    "scorer": {"replicas": [1, 1], "num_cpus": 1},
}
WAIT_S = 300


async def slowly(number: int, body: dict[str, Any]) -> Any:
    await asyncio.sleep(ANSWER_S)
    return script(number, body)


def gateways(nodes: RayNodes) -> list[str]:
    """The node of each gateway that answers or finishes what it has begun."""
    application = nodes.api("/api/serve/applications/")["applications"]["hydra"]
    replicas = application["deployments"]["Gateway"]["replicas"]
    return [replica["node_id"] for replica in replicas if replica["state"] in ("RUNNING", "STOPPING")]


def until(true: Callable[[], bool], what: str, asking: Asking) -> None:
    """Waits, while clients ask."""
    waited, end = threading.Event(), time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"{what} does not happen; failed: {asking.failed()[:3]}"
        waited.wait(2)


def test_replicas_grow_over_nodes_and_drain_before_a_node_leaves(tmp_path: Path) -> None:
    """Proxies: the head's alone, as the provider's nodes all have the head's address and port."""
    with RayNodes() as nodes:
        nodes.start_autoscaling_head(MOST)
        with llm_at_desk(nodes, slowly) as llm_url:
            deploy(nodes, serve_file(tmp_path, llm_url, "HeadOnly", PARTS))
            assert (nodes.alive(), len(gateways(nodes))) == (2, 1)
            with Asking(nodes, [nodes.head], CLIENTS) as asking:
                until(lambda: len(set(gateways(nodes))) == 2, "growth over two nodes", asking)
                assert nodes.alive() == 1 + MOST
                asking.until_answers(["head"], 5 * CLIENTS)
                asking.asked_by = 1
                until(lambda: nodes.alive() == 2, "a node's leaving", asking)
                assert len(gateways(nodes)) == 1
                asking.until_answers(["head"], 5)
            assert len(asking.seen) > 10 * CLIENTS
            assert not asking.failed()
