"""Ray nodes, each on a machine of its own, with Ray's token; commands and an LLM on a machine that is no node."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests import certificates
from tests.cluster.machines import Machine, Network

BIN = Path(sys.executable).parent
PORT, DASHBOARD = 6379, 8265
HEAD, DESK = "head", "desk"
"""DESK: where the user sits."""
STORE_BYTES = 100 * 2**20
_AUTOSCALER: dict[str, Any] = {
    "cluster_name": "fake",
    "idle_timeout_minutes": 0.5,
    "upscaling_speed": 1.0,
    "provider": {
        "type": "fake_multinode",
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "use_node_id_as_ip": True,
    },
    "head_node_type": "ray.head.default",
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    "cluster_synced_files": [],
    **{f"rsync_{what}": [] for what in ("exclude", "filter")},
    **{
        f"{what}_commands": []
        for what in ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    },
}
"""Of Ray's fake provider, whose nodes are further raylets on the head's machine. Ray's wheel lacks the example that its
own AutoscalingCluster starts from, which would also stop every Ray of this computer."""


class RayNodes(contextlib.AbstractContextManager["RayNodes"]):
    """A cluster without nodes yet, and its network. A context manager: leaving it kills whatever runs on the machines.

    encrypted: nodes speak TLS, each with a certificate of its own. more: further environment variables of all nodes.
    """

    def __init__(self, *, encrypted: bool = False, **more: str) -> None:
        # Short: Ray's sockets lie below, and a path of a socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="hr"))
        self.network = Network(self.folder)
        self.desk = self.network.add(DESK)
        self._token = secrets.token_hex(16)
        self._more = more
        self.authority: Path | None = None
        if encrypted:
            self.authority = certificates.make_authority(self.folder / "authority")
            self._more |= certificates.variables(self.network.own)
            self._certify(self.desk)

    def __exit__(self, *error: object) -> None:
        self.network.__exit__(*error)
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, **more: str) -> dict[str, str]:
        """As in an activated environment: a job's `python` is the one that the node's PATH finds."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HYDRA_RAY_"))}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        set_here = {
            "PATH": path,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_TMPDIR": str(self.network.own),
            "RAY_memory_monitor_refresh_ms": "0",  # every node would see the memory of the one machine that there is
            "RAY_worker_niceness": "0",  # by default workers come last on a machine that does other things, too
        }
        return {**kept, **set_here, **self._more, **more}

    @property
    def head(self) -> Machine:
        return self.network.machines[HEAD]

    @property
    def dashboard(self) -> str:
        """The address for `--address`."""
        return f"http://{self.head.address}:{DASHBOARD}"

    def start_head(self, *arguments: str, **more: str) -> Machine:
        """The head, which runs no workers; again after it was killed. arguments: further ones; more: of its
        environment."""
        self._certify(self.network.add(HEAD))
        common = ["--head", f"--port={PORT}", "--dashboard-host=0.0.0.0", "--num-cpus=0"]
        return self._start(HEAD, *common, *arguments, **more)

    def start_autoscaling_head(self, most: int, cpus: int = 3) -> Machine:
        """A head that runs no workers and adds nodes of so many CPUs when they are wanted, `most` at once."""
        resources = {"CPU": cpus, "object_store_memory": STORE_BYTES}
        types = {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": resources, "node_config": {}, "min_workers": 0, "max_workers": most},
        }
        file = self.folder / "autoscaler.json"
        file.write_text(json.dumps({**_AUTOSCALER, "max_workers": most, "available_node_types": types}))
        return self.start_head(f"--autoscaling-config={file}", RAY_FAKE_CLUSTER="1", AUTOSCALER_UPDATE_INTERVAL_S="1")

    def start_worker(self, name: str, cpus: int = 3) -> Machine:
        """One more node."""
        self._certify(self.network.add(name))
        return self._start(name, f"--address={self.head.address}:{PORT}", f"--num-cpus={cpus}")

    def start_workers(self, names: Sequence[str]) -> None:
        """Nodes of these names, unless they are there and were not killed."""
        for name in names:
            if name not in self.network.machines or not self.network.machines[name].alive:
                self.start_worker(name)

    def machines(self, names: Sequence[str]) -> list[Machine]:
        return [self.network.machines[name] for name in names]

    def _certify(self, machine: Machine) -> None:
        """Gives a machine its certificate, where nodes speak TLS."""
        if self.authority:
            certificates.issue(self.authority, machine.folder, machine.address)

    def _start(self, name: str, *arguments: str, **more: str) -> Machine:
        machine = self.network.machines[name]
        command = [str(BIN / "ray"), "start", "--disable-usage-stats", f"--object-store-memory={STORE_BYTES}"]
        machine.run([*command, *arguments], self.environment(**more), timeout_s=120)
        return machine

    def hydra_ray(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Starts a command at the desk."""
        command = [str(BIN / "hydra-ray"), *arguments]
        return self.desk.popen(command, self.environment(), **more)

    def api(self, path: str) -> Any:
        """What the dashboard answers the desk."""
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self.dashboard}{path}"
        got = self.desk.inside(lambda: httpx.get(url, headers=headers, timeout=60, trust_env=False))
        return got.raise_for_status().json()

    def alive(self) -> int:
        """How many nodes the head takes to be alive."""
        listed = self.head.run([str(BIN / "ray"), "list", "nodes", "--filter", "state=ALIVE", "--format", "json"],
                               self.environment())  # fmt: skip
        return listed.count('"node_id"')


@contextlib.contextmanager
def started(workers: Sequence[str], *, encrypted: bool = False, **more: str) -> Iterator[RayNodes]:
    """A head and some workers. See `RayNodes`."""
    with RayNodes(encrypted=encrypted, **more) as nodes:
        nodes.start_head()
        nodes.start_workers(workers)
        yield nodes
