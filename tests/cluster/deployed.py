"""The service on a cluster of `RayNodes`, what deploys it, and clients at the desk that ask its proxies."""

import contextlib
import dataclasses
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.machines import Machine
from tests.cluster.ray_nodes import RayNodes
from tests.cluster.small_job import LLM_PORT
from tests.llm.fake_server import FakeServer, completion, in_thread
from tests.serve.asking import AskingThreads
from tests.serve.run_folder import USERS, write_run
from tests.serve.scripted_llm import samples_of

PORT = 8000
KEY = "default-key-0123456789"


def script(_: int, body: dict[str, Any]) -> Any:
    return completion(samples_of(body["messages"][-1]["content"], body.get("n") or 1))


@contextlib.contextmanager
def llm_at_desk(nodes: RayNodes, answer: Callable[[int, dict[str, Any]], Any] = script) -> Iterator[str]:
    """The address of an LLM that all nodes reach."""
    listening = nodes.desk.inside(lambda: socket.create_server((nodes.desk.address, LLM_PORT)))
    with in_thread(FakeServer(answer), listening) as server:
        yield server.url


def serve_file(folder: Path, llm_url: str, proxies: str, parts: dict[str, Any], options: Sequence[Any] = ()) -> Path:
    """A Serve config file of the service. proxies: `proxy_location`. parts: further arguments. options: Ray Serve's
    `deployments`."""
    keys = folder / "keys"
    keys.write_text(f"default:{KEY}\n")
    keys.chmod(0o600)
    run = write_run(folder)
    args = {"run": str(run), "state": str(folder / "state"), "llm_url": llm_url, "keys": str(keys), **parts}
    application = {"name": "hydra", "route_prefix": "/", "import_path": "hydra_ray.serve.app:build_app", "args": args}
    config = {
        "proxy_location": proxies,
        "http_options": {"host": "0.0.0.0", "port": PORT},
        "applications": [{**application, "deployments": list(options)}],
    }
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def deploy(nodes: RayNodes, file: Path) -> None:
    """Deploys it and waits until it answers."""
    pipe = subprocess.PIPE
    deploying = nodes.hydra_ray("deploy", str(file), "--address", nodes.dashboard, "--yes", "--timeout", "300",
                                stdout=pipe, stderr=subprocess.STDOUT)  # fmt: skip
    said, _ = deploying.communicate(timeout=400)
    assert deploying.returncode == 0, said


@dataclasses.dataclass(frozen=True)
class Answer:
    """status: 0 where there was none, and then `text` is why. began, ended: seconds of `time.monotonic`."""

    proxy: str
    began: float
    ended: float
    status: int
    text: str


class Asking(AskingThreads):
    """Clients at the desk, each of one proxy, until the context ends.

    seen: the answers. gone: proxies not asked any more. clients: of each proxy, with one request at a time each;
    `asked_by` of them ask, and that many may change.
    """

    def __init__(self, nodes: RayNodes, machines: list[Machine], clients: int) -> None:
        self.seen: list[Answer] = []
        self.gone: set[str] = set()
        self.asked_by = clients
        each = [(i, machine) for machine in machines for i in range(clients)]
        super().__init__([
            partial(nodes.desk.inside, self._client(number, machine, USERS[i]))
            for i, (number, machine) in enumerate(each)
        ])  # fmt: skip

    def _client(self, own: int, machine: Machine, user: str) -> Any:
        def ask() -> None:
            http = httpx.Client(
                base_url=f"http://{machine.address}:{PORT}",
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=60, trust_env=False,
            )  # fmt: skip
            number = 0
            while not self.ending.is_set() and machine.name not in self.gone:
                if own < self.asked_by:
                    number += 1
                    began = time.monotonic()
                    try:
                        got = http.post("/v1/personalize", json={"user_id": user, "query": f"{user} {number}"})
                        status, text = got.status_code, got.text
                    except httpx.HTTPError as error:
                        status, text = 0, repr(error)
                    self.seen.append(Answer(machine.name, began, time.monotonic(), status, text))
                time.sleep(0.2)  # the nodes share the processors

        return ask

    def failed(self) -> list[Answer]:
        return [answer for answer in self.seen if answer.status != 200]

    def until_answers(self, proxies: list[str], count: int, seconds: float = 120) -> None:
        """Waits until each of the proxies has given so many more good answers."""
        at, end = len(self.seen), time.monotonic() + seconds
        while min(sum(a.proxy == p and a.status == 200 for a in self.seen[at:]) for p in proxies) < count:
            assert time.monotonic() < end, self.failed()
            time.sleep(0.1)
