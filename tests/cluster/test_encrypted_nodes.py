"""A job on nodes that speak TLS to each other, and what is said of a machine that cannot."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import certificates
from tests.cluster.machines import Machine
from tests.cluster.ray_nodes import BIN, PORT, RayNodes, started
from tests.cluster.small_job import submitted

pytestmark = [
    pytest.mark.nodes,
    certificates.needs_openssl,
    pytest.mark.usefixtures("namespaces"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def nodes(namespaces: None) -> Iterator[RayNodes]:
    with started(["one", "two"], encrypted=True) as made:
        yield made


def doctor(nodes: RayNodes, machine: Machine, **more: str) -> subprocess.CompletedProcess[str]:
    """`hydra-ray doctor` there. more: of its environment."""
    command = [str(BIN / "hydra-ray"), "doctor", "--address", f"{nodes.head.address}:{PORT}"]
    return subprocess.run(machine.command(command), env=nodes.environment(**more), capture_output=True, text=True,
                          timeout=300, check=False)  # fmt: skip


def test_a_job_and_what_the_doctor_says_of_its_nodes(nodes: RayNodes, tmp_path: Path) -> None:
    with submitted(nodes, tmp_path / "runs", "--stage", "train-reranker") as job:
        job.ended()
    assert "] train-reranker: done" in job.output
    assert job.calls()
    assert job.paid_twice() == 0
    done = doctor(nodes, nodes.head)
    assert done.stdout.splitlines()[-1] == "nothing is wrong on 3 nodes", done.stdout + done.stderr
    two = nodes.network.machines["two"]
    certificates.issue(nodes.authority, two.folder, two.address, days=5)  # type: ignore[arg-type]
    done = doctor(nodes, nodes.head)
    (wrong,) = [line for line in done.stdout.splitlines() if line.startswith("wrong: ")]
    assert wrong.startswith(f"wrong: {two.address}: RAY_TLS_SERVER_CERT={nodes.network.own}/node.crt: ends in 5 days: ")
    assert done.returncode == 2


def test_a_machine_without_tls_is_told_to_use_it(nodes: RayNodes) -> None:
    done = doctor(nodes, nodes.head, RAY_USE_TLS="0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"ray.address={nodes.head.address}:{PORT}: speaks TLS: set RAY_USE_TLS=1, and " in done.stderr


def test_a_node_of_another_authority_does_not_join(nodes: RayNodes, tmp_path: Path) -> None:
    stranger = nodes.network.add("stranger")
    certificates.issue(certificates.make_authority(tmp_path / "theirs"), stranger.folder, stranger.address)
    done = doctor(nodes, stranger)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert ": its certificate is not accepted: " in done.stderr
    # The authority's certificate alone, which is no secret, is not enough.
    (stranger.folder / "ca.crt").write_bytes((nodes.head.folder / "ca.crt").read_bytes())
    own = certificates.make_authority(tmp_path / "own")
    certificates.issue(own, tmp_path / "node", stranger.address)
    for name in ("node.crt", "node.key"):
        (stranger.folder / name).write_bytes((tmp_path / "node" / name).read_bytes())
    done = doctor(nodes, stranger)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"RAY_TLS_SERVER_CERT={nodes.network.own}/node.crt: " in done.stderr
    start = [str(BIN / "ray"), "start", "--disable-usage-stats", f"--address={nodes.head.address}:{PORT}"]
    with pytest.raises((RuntimeError, subprocess.TimeoutExpired)):
        stranger.run(start, nodes.environment(RAY_gcs_rpc_server_connect_timeout_s="1"), timeout_s=60)
    assert nodes.alive() == 3
