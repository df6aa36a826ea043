"""cluster/slurm.sh under a real SLURM, on machines with addresses of their own."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import pytest

from hydra_ray.cli import INTERRUPTED
from tests import certificates
from tests.cluster.ray_nodes import BIN
from tests.cluster.slurm_nodes import CPUS, SlurmNodes, reason_to_skip
from tests.cluster.small_job import CONCURRENCY, SETTINGS, WAIT_S, calls, llm, paid_twice, predictions
from tests.llm.fake_server import FakeServer

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "SLURM is there"),
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(3000),
]
ALL_CPUS = f"--cpus-per-task={CPUS}"
END_S = 1500
"""Of a whole job: less than three minutes where nothing else works on the machine."""


@pytest.fixture(scope="module")
def nodes(namespaces: None) -> Iterator[SlurmNodes]:
    """Three machines, of which a job of two takes the first two."""
    with SlurmNodes(["first", "second", "third"]) as made:
        yield made


def small(stage: str, server: FakeServer, folder: Path) -> list[str]:
    """A command of the small job, whose runs are in a folder. stage: how far it goes."""
    return [stage, f"root={folder}/runs", f"llm.base_url={server.url}", *SETTINGS]


def printed(folder: Path, job: str, ending: str = "out") -> str:
    file = folder / f"hydra-ray-{job}.{ending}"
    return file.read_text(errors="replace") if file.exists() else ""


def labels(folder: Path) -> dict[str, list[list[str]]]:
    """The job in a folder: question -> the LLM's answers with each item alone as the example."""
    (step,) = (folder / "runs" / "steps").glob("label-*")
    rows = pyarrow.parquet.read_table(step / "answers", columns=["row_id", "texts"]).to_pylist()
    assert rows
    return {row["row_id"]: row["texts"] for row in rows}


@dataclass
class Whole:
    """A job to which nothing happened. calls: what it asked the LLM."""

    folder: Path
    calls: "Counter[str]"


@pytest.fixture(scope="module")
def whole(nodes: SlurmNodes, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """With TLS between its nodes, where openssl is there."""
    folder = tmp_path_factory.mktemp("whole")
    tls = "0" if certificates.needs_openssl.args[0] else "1"
    with llm(nodes.desk) as (server, _):
        job = nodes.submit(folder, *small("run", server, folder), options=[ALL_CPUS], TLS=tls)
        assert nodes.ended(job, END_S) == ("COMPLETED", "0:0"), printed(folder, job)
        assert paid_twice(server) == 0
        whole = Whole(folder, calls(server))
    assert predictions(folder / "runs")
    assert "waiting for 2 Ray nodes at " in printed(folder, job)
    assert "Traceback" not in printed(folder, job)
    assert nodes.left(job) == []
    return whole


def test_the_time_limit_ends_a_job_and_the_same_command_continues(
    nodes: SlurmNodes, whole: Whole, tmp_path: Path
) -> None:
    with llm(nodes.desk, from_call=30) as (server, gate):
        command = small("label", server, tmp_path)
        job = nodes.submit(tmp_path, *command, options=[ALL_CPUS])
        nodes.until(lambda: server.in_flight >= CONCURRENCY // 2, "calls in flight", WAIT_S)
        minutes = int(nodes.shown(job)["RunTime"].split(":")[1])
        nodes.command("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 2}")  # less than two are left
        assert nodes.ended(job, WAIT_S) == ("FAILED", "143:0"), printed(tmp_path, job)
        assert f"\n{INTERRUPTED}\n" in printed(tmp_path, job)
        assert nodes.left(job) == []
        gate.open()
        job = nodes.submit(tmp_path, *command, options=[ALL_CPUS])
        assert nodes.ended(job, END_S) == ("COMPLETED", "0:0"), printed(tmp_path, job)
        assert "ingest: done before" in printed(tmp_path, job)
        assert labels(tmp_path) == labels(whole.folder)
        assert set(calls(server)) <= set(whole.calls)
        assert paid_twice(server) <= CONCURRENCY
    assert nodes.left(job) == []


def test_scancel_ends_a_job_and_leaves_nothing(nodes: SlurmNodes, tmp_path: Path) -> None:
    with llm(nodes.desk, from_call=0) as (server, _):
        job = nodes.submit(tmp_path, *small("label", server, tmp_path), options=[ALL_CPUS])
        nodes.until(lambda: server.in_flight, "calls in flight", WAIT_S)
        nodes.command("scancel", job)
        assert nodes.ended(job, WAIT_S)[0] == "CANCELLED"
        nodes.until(lambda: nodes.idle() == 3, "idle nodes")
    assert INTERRUPTED in printed(tmp_path, job)
    assert nodes.left(job) == []


def test_two_jobs_share_their_machines(nodes: SlurmNodes, tmp_path: Path) -> None:
    with llm(nodes.desk) as (server, _):
        command = [*small("run", server, tmp_path), "--dry-run"]
        options = ["--cpus-per-task=1", "--nodelist=first,second"]
        jobs = [nodes.submit(tmp_path, *command, options=options) for _ in range(2)]
        for job in jobs:
            assert nodes.ended(job, WAIT_S) == ("COMPLETED", "0:0"), printed(tmp_path, job)
    first, second = (nodes.shown(job) for job in jobs)
    assert first["StartTime"] < second["EndTime"]
    assert second["StartTime"] < first["EndTime"]


def test_a_machine_without_ray_is_named(nodes: SlurmNodes, tmp_path: Path) -> None:
    second = nodes.network.machines["second"]
    nowhere = nodes.network.own / "nowhere"
    (second.folder / "nowhere").mkdir()
    second.run(["mount", "--bind", str(nowhere), str(BIN)])
    try:
        job = nodes.submit(tmp_path, "run", options=[ALL_CPUS, "--nodelist=first,second"])
        assert nodes.ended(job, WAIT_S) == ("FAILED", "1:0")
    finally:
        second.run(["umount", str(BIN)])
    log = f"hydra-ray-{job}.ray.out"
    assert f"slurm.sh: not all of the 2 Ray nodes have started; {log} says why\n" in printed(tmp_path, job)
    assert "slurm.sh: second: ray is not found: " in printed(tmp_path, job, "ray.out")


def test_a_job_that_loses_a_machine_is_queued_again_and_continues(
    nodes: SlurmNodes, whole: Whole, tmp_path: Path
) -> None:
    with llm(nodes.desk, from_call=30) as (server, gate):
        job = nodes.submit(tmp_path, *small("label", server, tmp_path), options=[ALL_CPUS])
        nodes.until(lambda: server.in_flight >= CONCURRENCY // 2, "calls in flight", WAIT_S)
        nodes.network.machines["second"].kill()
        nodes.until(lambda: nodes.shown(job)["JobState"] == "PENDING", "job queued again", WAIT_S)
        assert nodes.left(job) == []
        gate.open()
        nodes.command("scontrol", "update", f"JobId={job}", "StartTime=now")  # SLURM waits for two minutes
        assert nodes.ended(job, END_S) == ("COMPLETED", "0:0"), printed(tmp_path, job)
        assert nodes.shown(job)["Restarts"] == "1"
        assert nodes.shown(job)["NodeList"] == "first,third"
        assert labels(tmp_path) == labels(whole.folder)
        assert set(calls(server)) <= set(whole.calls)
        assert paid_twice(server) <= CONCURRENCY
    assert printed(tmp_path, job).count("waiting for 2 Ray nodes at ") == 2
    assert nodes.left(job) == []
