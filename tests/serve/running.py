"""`hydra-ray serve` as a process of its own, with the scripted black box next to it, for tests from outside."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from hydra_ray.utils.network import free_port
from tests.serve.run_folder import write_run

ROOT = Path(__file__).parents[2]
LEAVE_S = 5.0
"""How long processes may go on after the command has ended."""
KEYS = {"default": "default-key-0123456789", "other": "other-key-0123456789"}


@dataclass
class LLM:
    """The black box: a process that can be killed and started again at the same port."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.serve.scripted_llm", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT)
        until(lambda: answers(f"{self.url}/v1/models"), 20)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pace(self, seconds: float) -> None:
        """How long an answer takes from now on."""
        httpx.post(f"{self.url}/pace", json={"seconds": seconds}).raise_for_status()

    def counts(self) -> dict[str, int]:
        return dict(httpx.get(f"{self.url}/counts").json())


@dataclass
class Running:
    """The service. seen: every process it ever had, as far as anyone looked."""

    url: str
    run: Path
    state: Path
    log: Path
    ray: Path
    process: subprocess.Popen[bytes]
    llm: LLM
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEYS['default']}"}

    def client(self, tenant: str = "default", **more: Any) -> httpx.Client:
        """A client with a tenant's key."""
        headers = {"Authorization": f"Bearer {KEYS[tenant]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **more)

    def look(self) -> list[psutil.Process]:
        """The processes that it has now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self.seen[process.pid] = process
        return [process for process in self.seen.values() if process.is_running()]

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replicas of a deployment."""
        found = []
        for process in self.look():
            with contextlib.suppress(psutil.Error):
                if f"ServeReplica:hydra:{deployment}" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill(self, deployment: str) -> int:
        """Kill -9 of a deployment's first replica; returns its process id."""
        victim = self.replicas(deployment)[0]
        victim.kill()
        return int(victim.pid)

    def ready(self) -> bool:
        """Whether every part says so."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def stop(self, number: int = signal.SIGTERM, within_s: float = 60.0) -> list[str]:
        """Tells it to end: the processes that it left behind (killed now), itself if it does not. Its logs go."""
        self.look()
        self.process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(within_s)
        with contextlib.suppress(AssertionError):
            until(lambda: not self._left(), LEAVE_S)  # Ray's agents look whether their raylet is gone
        left = self._left()
        for process, _ in left:
            process.kill()
        shutil.rmtree(self.ray, ignore_errors=True)
        if self.process.poll() is None:
            self.process.kill()
            return ["the service itself", *(line for _, line in left)]
        return [line for _, line in left]

    def _left(self) -> list[tuple[psutil.Process, str]]:
        """The processes that are there still, with what they are."""
        found = []
        for process in self.look():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process, f"{process.pid} {' '.join(process.cmdline())[:80]}"))
        return found

    def logs(self) -> Iterator[tuple[Path, str]]:
        """Everything that Serve's processes wrote, by file, and what the command printed."""
        yield self.log, self.log.read_text(errors="replace")
        files = sorted((self.ray / "ray" / "session_latest" / "logs").rglob("*"))
        assert files, f"Ray has written no logs below {self.ray}"
        for file in files:
            if file.is_file():
                yield file, file.read_text(errors="replace")


@contextlib.contextmanager
def running(folder: Path, *overrides: str) -> Iterator[Running]:
    """A service of `write_run`'s folder, two tenants, until the context ends. Overrides: of `ServeConfig`."""
    run = write_run(folder)
    keys = folder / "keys"
    keys.write_text("".join(f"{tenant}:{key}\n" for tenant, key in KEYS.items()))
    keys.chmod(0o600)
    llm = LLM(free_port())
    service = None
    try:
        llm.start()
        service = start(folder, run, llm, f"keys={keys}", *overrides)
        until(lambda: service is not None and (service.ready() or service.process.poll() is not None), 300)
        assert service.process.poll() is None, service.log.read_text()
        yield service
    finally:
        if service and service.process.poll() is None:
            service.stop()
        llm.kill()


def start(folder: Path, run: Path, llm: LLM, *overrides: str) -> Running:
    """Starts the command and does not wait for it."""
    # Ray's sockets lie below, and their paths have 107 bytes at most.
    ray = Path(tempfile.mkdtemp(prefix="hr"))
    port = free_port()
    command = [sys.executable, "-m", "hydra_ray.cli", "serve", "--run", str(run), "--llm-url", f"{llm.url}/v1"]
    command += ["--port", str(port), f"state={folder / 'state'}", *overrides]
    log = folder / "serve.log"
    environment = {**os.environ, "RAY_TMPDIR": str(ray), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream)
    return Running(f"http://127.0.0.1:{port}", run, folder / "state", log, ray, process, llm)


def answers(url: str) -> bool:
    """Whether a server answers there."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == 200
    return False


def until(true: Callable[[], bool], seconds: float, every_s: float = 0.1) -> float:
    """Waits for `true()`; returns the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"did not come true within {seconds:g} s"
        time.sleep(every_s)
    return time.monotonic() - began


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of a good answer."""
    assert answer.status_code < 300, f"{answer.status_code} {answer.text[:500]}"
    return dict(json.loads(answer.text))
