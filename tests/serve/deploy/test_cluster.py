"""`hydra-ray deploy` on a real cluster: black box and service from one file, scaled and shot at; files that cannot."""

import contextlib
import io
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from hydra_ray import env
from hydra_ray.cli import main
from hydra_ray.cluster import shutdown_ray
from hydra_ray.config import LLMApplicationConfig
from hydra_ray.llm.vllm_app import build_llm, deployment_names
from hydra_ray.utils.network import free_port
from tests.serve.asking import AskingThreads
from tests.serve.run_folder import USERS, write_run
from tests.serve.running import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """The dashboard address of a cluster whose Serve hears of the load every second instead of every ten."""
    env.set_service_defaults()
    import ray
    from ray import serve

    with (
        tempfile.TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for whose in ("HANDLE", "REPLICA"):
            patch.setenv(f"RAY_SERVE_{whose}_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "1")
        context = ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=True,
            dashboard_port=0,
            object_store_memory=200 * 2**20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            yield f"http://{context.dashboard_url}"
            serve.shutdown()
        finally:
            shutdown_ray()


@dataclass(frozen=True)
class Deployed:
    """The black box and the service of a run that `hydra-ray deploy` brought up from one file."""

    dashboard: str
    file: Path
    http_port: int
    llm_port: int
    progress: str

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=60)


def _file(path: Path, http_port: int, applications: list[dict[str, Any]]) -> Path:
    options = {"host": "127.0.0.1", "port": http_port}
    logging = {"encoding": "JSON", "enable_access_log": False}
    config = {"proxy_location": "HeadOnly", "http_options": options, "logging_config": logging}
    path.write_text(yaml.safe_dump({**config, "applications": applications}))
    return path


def _llm(port: int, source: str) -> dict[str, Any]:
    return {
        "name": "llm",
        "route_prefix": None,
        "import_path": "hydra_ray.llm.vllm_app:build_llm",
        "args": {"model": "hydra-tiny", "serve": {"source": source, "port": port}},
    }


def _hydra(run: Path, llm_port: int) -> dict[str, Any]:
    args = {"run": str(run), "llm_url": f"http://127.0.0.1:{llm_port}/v1", "allow_anonymous": True}
    # So low an aim that any request is load, one after the other too, however long the LLM takes, on a
    # busy machine: with 0.05 a second replica was once given up before it had started.
    scorer = {
        "replicas": [1, 2],
        "target_ongoing_requests": 0.005,
        "look_back_period_s": 11,
        "upscale_delay_s": 1,
        "downscale_delay_s": 4,
    }
    return {
        "name": "hydra",
        "route_prefix": "/",
        "import_path": "hydra_ray:build_app",
        "args": {**args, "scorer": scorer},
    }


@pytest.fixture(scope="module")
def deployed(dashboard: str, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    folder = tmp_path_factory.mktemp("deployed")
    http_port, llm_port = free_port(), free_port()
    applications = [_llm(llm_port, "bundled"), _hydra(write_run(folder), llm_port)]
    file = _file(folder / "good.yaml", http_port, applications)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        assert main(["deploy", str(file), "--address", dashboard]) == 0
    return Deployed(dashboard, file, http_port, llm_port, output.getvalue())


def test_one_file_brings_up_the_black_box_and_the_service(deployed: Deployed) -> None:
    assert deployed.progress.splitlines()[-2:] == [
        "llm: running, on a port of its own",
        f"hydra: running at http://127.0.0.1:{deployed.http_port}/",
    ]
    assert "llm RUNNING (LLM 1/1); hydra RUNNING (" in deployed.progress
    assert "Scorer 1/1" in deployed.progress
    with deployed.client() as http:
        answer = ask(http, USERS[0], "redship")
    assert answer.status_code == 200, answer.text
    trace = answer.json()["trace"]
    assert (trace["user_id"], trace["degraded"], trace["versions"]["own_heads"]) == (
        USERS[0], [], ["reranker", "adapter"],
    )  # fmt: skip
    # The same once more changes nothing and is there at once.
    assert main(["deploy", str(deployed.file), "--address", deployed.dashboard, "--timeout", "30"]) == 0


def ask(http: httpx.Client, user: str, query: str) -> httpx.Response:
    return http.post("/v1/personalize", json={"user_id": user, "query": query})


class Asking(AskingThreads):
    """Questions of eight users at a time, until the context ends. seen: the answers; foreign: another user's; alone:
    while it is set, only the first asks."""

    def __init__(self, deployed: Deployed) -> None:
        self.seen: list[httpx.Response] = []
        self.foreign: list[str] = []
        self.alone = threading.Event()
        self._http = deployed.client()
        super().__init__([partial(self._ask, user) for user in USERS[:8]])

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self._http.close()
        assert not self.foreign

    def _ask(self, user: str) -> None:
        number = 0
        while not self.ending.is_set():
            if self.alone.is_set() and user != USERS[0]:
                time.sleep(0.1)
                continue
            number += 1
            answer = ask(self._http, user, f"{user} {number}")
            self.seen.append(answer)
            if answer.status_code == 200 and answer.json()["trace"]["user_id"] != user:
                self.foreign.append(answer.text)
            time.sleep(0.2)  # what starts meanwhile needs the processors, too


def _replica_pid(application: str, deployment: str) -> int:
    """The process of a deployment's only replica in this cluster, which others on this machine do not share."""
    import ray
    from ray.util.state import list_actors

    name, cluster = f"ServeReplica:{application}:{deployment}", ray.get_runtime_context().gcs_address
    alive = list_actors(address=cluster, filters=[("state", "=", "ALIVE")])
    (replica,) = [each for each in alive if each.class_name.startswith(name)]
    return int(replica.pid)


def _scorers(state: str) -> int:
    from ray import serve

    return int(serve.status().applications["hydra"].deployments["Scorer"].replica_states.get(state, 0))


def test_replicas_come_and_go_with_the_load_and_no_request_notices(deployed: Deployed) -> None:
    with Asking(deployed) as asking:
        until(lambda: _scorers("STARTING") + _scorers("RUNNING") == 2, 60)
        asking.alone.set()  # load enough to keep the second, and room for it to start in
        until(lambda: _scorers("RUNNING") == 2, 120)
        asking.alone.clear()
        at = len(asking.seen)
        until(lambda: len(asking.seen) > at + 50, 60)
    until(lambda: _scorers("RUNNING") == 1, 60)
    with deployed.client() as http:
        assert http.get("/readyz").status_code == 200
    assert {answer.status_code for answer in asking.seen} == {200}
    assert not [answer.text for answer in asking.seen if answer.json()["trace"]["degraded"]]


def test_the_black_boxs_replica_dies(deployed: Deployed) -> None:
    """Requests meanwhile get 503 with Retry-After; Serve brings it back, and nothing else changes."""
    victim = psutil.Process(_replica_pid("llm", "LLM"))
    with Asking(deployed) as asking:
        until(lambda: len(asking.seen) > 10, 30)
        victim.kill()
        until(lambda: asking.seen[-1].status_code != 200, 30)
        asking.alone.set()  # refusals to all of them would take the processors from the replica that starts
        until(lambda: asking.seen[-1].status_code == 200, 120, every_s=0.5)
        asking.alone.clear()
        until(lambda: [answer.status_code for answer in asking.seen[-8:]] == [200] * 8, 60, every_s=0.5)
    failed = [answer for answer in asking.seen if answer.status_code != 200]
    assert {answer.status_code for answer in failed} == {503}
    assert {answer.json()["error"]["code"] for answer in failed} == {"llm_down"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in failed)
    assert not [
        answer.text for answer in asking.seen if answer.status_code == 200 and answer.json()["trace"]["degraded"]
    ]


def test_files_that_cannot_be_deployed(deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = yaml.safe_load(deployed.file.read_text())["applications"]
    other = _file(tmp_path / "other.yaml", deployed.http_port + 1, good)
    assert main(["deploy", str(other), "--address", deployed.dashboard]) == 2
    *progress, line = capsys.readouterr().err.strip().splitlines()
    assert all(line.startswith("[deploy]") for line in progress)
    assert f"http_options.port {deployed.http_port} (the file: {deployed.http_port + 1})" in line

    bad = _file(tmp_path / "bad.yaml", deployed.http_port, [_llm(deployed.llm_port, str(tmp_path / "none"))])
    assert main(["deploy", str(bad), "--address", deployed.dashboard]) == 2
    assert "hydra is not in the file and is removed: if that is meant, give --yes" in capsys.readouterr().err
    assert main(["deploy", str(bad), "--address", deployed.dashboard, "--yes", "--keep-failed"]) == 2
    *progress, line = capsys.readouterr().err.strip().splitlines()
    assert all(line.startswith("[deploy]") for line in progress)
    assert any(line.endswith("runs there now: hydra RUNNING, removed") for line in progress)
    assert "application llm does not start: " in line
    assert f"llm.serve.source: {tmp_path / 'none'}: no such folder" in line


def test_names_of_what_ray_serve_llm_deploys() -> None:
    """A file may set options of these; only `build_openai_app` knows how it names them."""
    from ray.serve._private.build_app import build_app

    args = LLMApplicationConfig.model_validate(
        {"model": "org/a.b", "serve": {"source": "org/a.b"}, "resources": {"num_gpus": 1}}
    )
    built = build_app(build_llm(args), name="llm")
    assert {deployment.name for deployment in built.deployments} == set(deployment_names(args))
