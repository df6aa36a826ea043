"""The whole job, submitted to a head node with a second node joined: vLLM, Ray Data, Ray Train, DeepSpeed for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydra_ray.utils.network import free_port

BIN = Path(sys.executable).parent
SMALL = [
    "name=small",
    "protocol.train_users=5",
    "protocol.test_users=5",
    "protocol.pseudo_queries=2",
    "data.synth.users=24",
    "data.synth.items=[5,7]",
    "reranker.num_history_queries=2",
    "adapter.num_history_queries=2",
    "train.epochs=1",
    "evaluate.bootstrap=200",
    "evaluate.paper=false",
]


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """A head and a second node, each a process of ours; yields the dashboard's address."""
    # As in an activated environment: a job's `python` is the one that the node's PATH finds.
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("RAY_ADDRESS", None)
    gcs, dashboard = free_port(), free_port()
    nodes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:
        common = [str(BIN / "ray"), "start", "--block", "--num-cpus=4", "--object-store-memory=200000000"]
        head = ["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
                "--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]  # fmt: skip
        commands = [[*common, *head], [*common, f"--address=127.0.0.1:{gcs}"]]
        for command in commands:
            # Two nodes of one machine: by default their agents, who take the jobs, listen on one and the same port.
            command.append(f"--dashboard-agent-listen-port={free_port()}")
        try:
            for command in commands:
                log = (Path(folder) / f"node{len(nodes)}.log").open("wb")
                nodes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
                _wait_for_port(gcs)
            _wait_for_port(dashboard)
            yield f"http://127.0.0.1:{dashboard}"
        finally:
            for node in reversed(nodes):  # the head last: a node takes leave of it
                node.terminate()
                try:
                    node.wait(5)
                except subprocess.TimeoutExpired:
                    os.killpg(node.pid, signal.SIGKILL)


def _wait_for_port(port: int, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on port {port}")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_whole_job_runs_as_a_submitted_job_on_two_nodes(two_nodes: str, tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    command = [str(BIN / "hydra-ray"), "submit", "--address", two_nodes, f"root={tmp_path / 'runs'}", *SMALL]
    command.append(f"llm.serve.port={free_port()}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    report = json.loads((tmp_path / "runs" / "small" / "report.json").read_text())
    assert report["users"] == {"train": 5, "test": 5}
    assert {
        "hydra",
        "hydra_shared",
        "hydra_reranker",
        "hydra_adapter",
        "bm25_k4",
        "user_majority",
    } <= set(report["methods"])
    assert report["llm"]["calls"] > 0
    assert (tmp_path / "runs" / "small" / "report.html").exists()
