"""What `hydra-ray deploy` reads out of a cluster's answers, and its own mistakes; the whole is in the cluster test."""

import io
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra_ray.cli import main
from hydra_ray.errors import UserError
from hydra_ray.serve.deploy import command as deploying
from hydra_ray.serve.deploy.probe import Probe, UnreachedError

HYDRA = {"name": "hydra", "route_prefix": "/", "import_path": "hydra_ray.serve.app:build_app"}
ADDRESS = "http://127.0.0.1:8265"

FILE = str(Path(__file__).parents[3] / "configs" / "serve" / "quickstart.yaml")


def test_check_only_needs_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", FILE, "--check-only", "--address", "http://127.0.0.1:9"]) == 0
    assert "nothing wrong found; applications: llm, hydra" in capsys.readouterr().out


def test_a_mistake_in_the_file_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(FILE).read_text().replace("llm_url:", "lm_url:"))
    assert main(["deploy", str(bad)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "applications[1].args.lm_url: unknown key; did you mean 'llm_url'?" in line


def test_no_cluster_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    for address, reason in ((f"http://127.0.0.1:{free}", "no Ray cluster answers there"), ("ray://a", "give the dash")):
        assert main(["deploy", FILE, "--address", address]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"--address {address}: {reason}" in line


class Cluster:
    """Serves what it is given, at once. failing: runs that do not start. submitted: the files, oldest first."""

    def __init__(self) -> None:
        self.applications: dict[str, dict[str, Any]] = {}
        self.failing: set[str] = set()
        self.submitted: list[dict[str, Any]] = []
        self.address = ADDRESS

    def __call__(self, address: str) -> "Cluster":
        assert address == ADDRESS
        return self

    def details(self) -> dict[str, Any]:
        return {"http_options": {"host": "127.0.0.1", "port": 8000}, "applications": dict(self.applications)}

    def submit(self, config: dict[str, Any]) -> None:
        self.submitted.append(config)
        stays = {name: about for name, about in self.applications.items() if about["source"] == "imperative"}
        self.applications = {**stays, **{app["name"]: self._about(app) for app in config["applications"]}}

    def _about(self, app: dict[str, Any]) -> dict[str, Any]:
        failed = app.get("args", {}).get("run") in self.failing
        return {
            "status": "DEPLOY_FAILED" if failed else "RUNNING",
            "message": "UserError: no such run" if failed else "",
            "source": "declarative",
            "route_prefix": app.get("route_prefix", "/"),
            "deployed_app_config": app,
        }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(deploying, "Cluster", made)
    monkeypatch.setattr(deploying, "check", lambda probe: None)
    monkeypatch.delenv("RAY_DASHBOARD_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return made


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(run: str, *more: dict[str, Any], name: str = "hydra") -> str:
        app = {**HYDRA, "name": name, "args": {"run": run, "root": str(tmp_path), "allow_anonymous": True}}
        path = tmp_path / f"{run}.yaml"
        path.write_text(yaml.safe_dump({"http_options": {"host": "127.0.0.1"}, "applications": [app, *more]}))
        return str(path)

    return write


def runs(cluster: Cluster) -> list[str]:
    """Which runs are served now."""
    return [about["deployed_app_config"]["args"]["run"] for about in cluster.applications.values()]


def no_answers(probe: Probe) -> None:
    raise UserError(f"application {probe.application} gives no answers: llm: it cannot be reached ({probe.url})")


def test_it_says_where_it_goes_and_what_it_serves(
    cluster: Cluster, file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", file("one")]) == 0
    output = capsys.readouterr()
    lines = [line.split("s  ", 1)[1] for line in output.err.splitlines()]
    assert lines == [
        f"cluster: {ADDRESS} (the default; --address names another), without a token (RAY_AUTH_MODE=disabled)",
        f"hydra: run one, root {tmp_path}",
        "hydra RUNNING",
        "hydra: ready (http://127.0.0.1:8000/readyz)",
    ]
    assert output.out == "hydra: running at http://127.0.0.1:8000/\n"
    assert main(["deploy", file("two"), "--address", ADDRESS]) == 0
    output = capsys.readouterr()
    assert f"cluster: {ADDRESS} (--address)" in output.err
    assert "runs there now: hydra RUNNING, updated" in output.err
    assert runs(cluster) == ["two"]


def test_no_answers_bring_back_what_ran(
    cluster: Cluster, file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", file("one")]) == 0
    monkeypatch.setattr(deploying, "check", no_answers)
    assert main(["deploy", file("two")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "hydra-ray: error: application hydra gives no answers: llm: it cannot be reached "
        "(http://127.0.0.1:8000/readyz); rolled back to what ran before: hydra"
    )
    assert runs(cluster) == ["one"]
    assert main(["deploy", file("two"), "--keep-failed"]) == 2
    assert "it is left as it is (--keep-failed)" in capsys.readouterr().err.splitlines()[-1]
    assert runs(cluster) == ["two"]


def test_what_does_not_start_is_undone_and_where_nothing_ran_removed(
    cluster: Cluster, file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.failing = {"bad"}
    assert main(["deploy", file("bad")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "application hydra does not start: UserError: no such run" in line
    assert line.endswith("; removed, as nothing ran before")
    assert cluster.applications == {}
    assert main(["deploy", file("good")]) == 0
    assert main(["deploy", file("bad")]) == 2
    assert runs(cluster) == ["good"]


def test_what_ran_before_may_fail_to_come_back(
    cluster: Cluster, file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", file("one")]) == 0
    cluster.failing = {"one", "two"}
    assert main(["deploy", file("two")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "; and what ran before does not come back: application hydra does not start" in line


def test_others_applications_need_a_yes(
    cluster: Cluster, file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", file("theirs", name="theirs")]) == 0
    capsys.readouterr()
    assert main(["deploy", file("mine")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"at {ADDRESS}, theirs is not in the file and is removed: if that is meant, give --yes" in line
    assert runs(cluster) == ["theirs"]

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for typed, code, served in (("\n", 2, "theirs"), ("no\n", 2, "theirs"), ("y\n", 0, "mine")):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        assert main(["deploy", file("mine")]) == code
        assert runs(cluster) == [served]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["deploy", file("theirs", name="theirs"), "--yes"]) == 0
    assert runs(cluster) == ["theirs"]


def test_an_address_out_of_reach_is_reported_and_no_failure(
    cluster: Cluster, file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreached(probe: Probe) -> None:
        raise UnreachedError("No route to host")

    monkeypatch.setattr(deploying, "check", unreached)
    assert main(["deploy", file("one")]) == 0
    assert "cannot be reached from this machine (No route to host)" in capsys.readouterr().err
