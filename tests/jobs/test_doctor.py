import os
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.jobs import doctor
from hydra_ray.jobs.doctor import GIB, NodeReport, Services, clock_difference, examine, problems
from hydra_ray.version import __version__
from tests.llm.fake_server import FakeServer, completion, in_thread

HEAD = NodeReport(
    "10.0.0.1", "head", {"hydra_ray": "1.0", "ray": "2.60.0", "torch": "2.9"}, cpus=4, memory=16 * GIB, free=80 * GIB
)
OTHER = replace(HEAD, address="10.0.0.2", host="gpu-1", gpus=2.0, gpus_seen=2)


def test_a_healthy_cluster() -> None:
    assert problems([HEAD, OTHER]) == []
    assert HEAD.line() == (
        "10.0.0.1 (head): hydra_ray 1.0, ray 2.60.0, torch 2.9, 4 CPUs, 16 GiB, 80 GiB free under root"
    )
    assert ", 2 GPUs, " in OTHER.line()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"versions": {**HEAD.versions, "ray": "2.55.0"}}, "ray: 2.60.0 on 10.0.0.1; 2.55.0 on 10.0.0.2: install one"),
        ({"versions": {**HEAD.versions, "hydra_ray": ""}}, "hydra_ray: 1.0 on 10.0.0.1; none on 10.0.0.2: install"),
        ({"clock": 12.34}, "10.0.0.2: its clock is 12.3 s ahead of this machine's"),
        ({"clock": -2.0}, "10.0.0.2: its clock is 2.0 s behind this machine's"),
        ({"gpus_seen": 0}, "10.0.0.2: Ray counts 2 GPUs, PyTorch sees 0"),
        ({"root": "root=/shared: no such folder there"}, "10.0.0.2: root=/shared: no such folder there"),
        ({"free": GIB}, "10.0.0.2: 1.0 GiB are free under root"),
        ({"services": ("llm.base_url=http://x: does not answer",)}, "10.0.0.2: llm.base_url=http://x: does not answer"),
    ],
)
def test_each_problem_is_one_line(wrong: dict[str, object], line: str) -> None:
    (found,) = problems([HEAD, replace(OTHER, **wrong)])  # type: ignore[arg-type]
    assert found.startswith(line)
    assert "\n" not in found


def test_a_node_that_runs_nothing() -> None:
    assert problems([HEAD], ["10.0.0.9"]) == ["10.0.0.9: runs no task within 120 s; see Ray's log files there"]


@pytest.mark.parametrize(("theirs", "ahead"), [(10.5, 0.0), (10.0, 0.0), (11.0, 0.0), (14.0, 3.0), (7.0, -3.0)])
def test_a_clock_is_only_known_to_within_the_answers_way(theirs: float, ahead: float) -> None:
    assert clock_difference(10.0, theirs, 11.0) == ahead


def test_what_a_node_sees(tmp_path: Path) -> None:
    mark = doctor._mark(tmp_path / "runs")
    with in_thread(FakeServer(lambda *_: completion(["x"]))) as server:
        seen = examine(str(mark), Services(server.url, f"file://{tmp_path}/archive"))
    assert (seen["root"], seen["services"]) == ("", ())
    assert seen["versions"]["hydra_ray"] == __version__
    assert seen["free"] > 0
    node = NodeReport("127.0.0.1", **seen)
    assert problems([node, node]) == []


def test_another_folder_and_no_endpoint(tmp_path: Path) -> None:
    seen = examine(
        str(tmp_path / "not-written"),
        Services("http://127.0.0.1:9/v1", "s3://b/x?no=1", "postgresql://hydra@/users?host=/nowhere"),
    )
    assert seen["root"].startswith(f"root={tmp_path}: another folder than this machine's")
    endpoint, archive, database = seen["services"]
    assert endpoint.startswith("llm.base_url=http://127.0.0.1:9/v1: does not answer (Connection refused)")
    assert archive.startswith("archive s3://b/x?no=1: cannot be used: ")
    assert database.startswith("database 'users' at /nowhere: cannot be used: ")
    gone = examine(str(tmp_path / "gone" / "mark"), Services())
    assert gone["root"].startswith(f"root={tmp_path / 'gone'}: no such folder there")
    assert gone["free"] is None


def test_hidden_gpus_are_hidden_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examine(None, Services())["gpus_seen"] >= 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
