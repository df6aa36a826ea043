"""A job on a cluster that has no worker node until the job wants one, and none again when it has ended."""

import threading
from pathlib import Path

import pytest

from tests.cluster.ray_nodes import RayNodes
from tests.cluster.small_job import submitted

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1200),
]

MOST = 2
SHRINK_S = 120
"""Nodes go half a minute after their last work."""


class Watch:
    """Notes how many nodes are alive until it is stopped. seen: their numbers, each different from the one before."""

    def __init__(self, nodes: RayNodes) -> None:
        self._nodes, self._over = nodes, threading.Event()
        self.seen = [nodes.alive()]
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(2):
            if (count := self._nodes.alive()) != self.seen[-1]:
                self.seen.append(count)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def test_a_cluster_grows_for_a_job_from_no_worker_and_shrinks_again(tmp_path: Path) -> None:
    with RayNodes() as nodes:
        nodes.start_autoscaling_head(MOST)
        watch = Watch(nodes)
        try:
            with submitted(nodes, tmp_path / "runs", "ray.autoscaling=true") as job:
                job.ended()
            assert watch.seen[0] == 1
            assert 2 <= max(watch.seen) <= 1 + MOST
            assert job.predictions()
            assert job.paid_twice() == 0
            waited = threading.Event()
            for _ in range(SHRINK_S // 2):
                if watch.seen[-1] == 1:
                    break
                waited.wait(2)
            assert watch.seen[-1] == 1
        finally:
            watch.stop()
