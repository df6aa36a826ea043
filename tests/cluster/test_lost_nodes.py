"""Jobs on nodes with addresses of their own, of which one is lost while they work: they end as if nothing had been."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import Machine
from tests.cluster.ray_nodes import RayNodes, started
from tests.cluster.small_job import CONCURRENCY, SmallJob, submitted

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1200),
]

WORKERS = ("one", "two")


@pytest.fixture(scope="module")
def nodes(namespaces: None) -> Iterator[RayNodes]:
    with started(WORKERS) as made:
        yield made


@pytest.fixture
def workers(nodes: RayNodes) -> list[Machine]:
    """Both workers; one that an earlier test has killed is new."""
    nodes.start_workers(WORKERS)
    return nodes.machines(WORKERS)


@pytest.fixture(scope="module")
def whole(nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> SmallJob:
    """The job when nothing happens."""
    with submitted(nodes, tmp_path_factory.mktemp("whole") / "runs") as job:
        job.ended()
    assert job.paid_twice() == 0
    return job


def same_as(whole: SmallJob, job: SmallJob) -> None:
    """The job has ended with what the other one predicts."""
    job.ended()
    assert job.predictions() == whole.predictions()
    assert set(job.calls()) <= set(whole.calls())


@pytest.mark.parametrize(
    ("step", "title"),
    [
        ("label seed 0", r"ray::(ListFiles|FooterReader)"),
        ("train-reranker seed 0", r"ray::RayTrainWorker\.run_train_fn"),
        ("fit-reranker seed 0", r"ray::MapWorker\(MapBatches\(FitBuckets"),
    ],
    ids=["as a pipeline starts", "in training", "in fitting"],
)
def test_a_node_dies(
    whole: SmallJob, nodes: RayNodes, workers: list[Machine], tmp_path: Path, step: str, title: str
) -> None:
    root = whole.copy_without(tmp_path / "runs", step, "evaluate seed 0", answers=True)
    with submitted(nodes, root) as job:
        job.where_runs(title, workers).kill()
        same_as(whole, job)
    assert not job.calls()


@pytest.mark.parametrize("how", ["it dies", "it is switched off", "its network is cut for 30 s"])
def test_a_node_is_lost_in_labelling(
    whole: SmallJob, nodes: RayNodes, workers: list[Machine], tmp_path: Path, how: str
) -> None:
    """When it dies, its connections are closed; otherwise they stay open and silent."""
    root = whole.copy_without(tmp_path / "runs", "label seed 0", "evaluate seed 0", answers=False)
    with submitted(nodes, root, from_call=30) as job:
        victim = job.asking(workers)
        if how != "it dies":
            nodes.network.cut(victim.name)
        if how != "its network is cut for 30 s":
            victim.kill()
        job.gate.open()
        if victim.alive:
            time.sleep(30)  # the event itself
            nodes.network.mend(victim.name)
        same_as(whole, job)
    assert job.paid_twice() <= CONCURRENCY
