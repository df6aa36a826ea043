"""The processes of the serving bench: the black box, our service, the plain one; started, waited for, ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from hydra_ray.bench.serve_texts import labels
from hydra_ray.utils.network import DIRECT, free_port

START_S = 1200.0
STOP_S = 60.0


@contextlib.contextmanager
def running(name: str, command: Sequence[str], probe: str, log: Path) -> Iterator[int]:
    """A process, from the moment in which `probe` (a URL) answers 200; yields its id. Output goes to `log`.

    Raises RuntimeError with the log's end if it does not start.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        began = time.monotonic()
        while not _answers(probe):
            if process.poll() is not None or time.monotonic() - began > START_S:
                raise RuntimeError(f"{name} does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def instant_llm(folder: Path) -> Iterator[str]:
    """The instant black box; yields its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "hydra_ray.bench.serve_llm", str(port), *labels()]
    with running("the instant LLM", command, f"{url}/models", folder / "llm.log"):
        yield url


class Hosted:
    """A service that runs. metrics_url: where its Ray exports metrics."""

    def __init__(self, url: str, pid: int, metrics_url: str = "") -> None:
        self.url, self._pid, self._metrics_url = url, pid, metrics_url

    def processes(self) -> dict[str, list[psutil.Process]]:
        """By role: gateway, history_server, scorer, fitter, proxy, controller, ray (all else), service (itself)."""
        whole = psutil.Process(self._pid)
        found: dict[str, list[psutil.Process]] = {"service": [whole]}
        for process in whole.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.setdefault(_role(" ".join(process.cmdline())), []).append(process)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds used so far, by role."""
        return {role: sum(map(_cpu_s, some)) for role, some in self.processes().items()}

    def rss_mib(self) -> dict[str, float]:
        """Resident memory by role; pages shared between processes count for each."""
        return {role: round(sum(map(_rss, some)) / (1 << 20), 1) for role, some in self.processes().items()}

    def metrics(self) -> str:
        """What its Ray exports, in Prometheus' text format."""
        with DIRECT.open(self._metrics_url, timeout=30) as response:
            return str(response.read().decode())


_ROLES = {
    "Gateway": "gateway",
    "HistoryServer": "history_server",
    "Scorer": "scorer",
    "Fitter": "fitter",
    "Proxy": "proxy",
    "Controller": "controller",
}
"""Word in the title of a process of Ray Serve -> its role."""


def _role(command: str) -> str:
    if "ray::" not in command:
        return "ray"
    return next((role for word, role in _ROLES.items() if word in command), "ray")


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _rss(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(process.memory_info().rss)
    return 0.0


@contextlib.contextmanager
def our_service(run: Path, state: Path, llm_url: str, log: Path, overrides: Sequence[str] = ()) -> Iterator[Hosted]:
    """`hydra-ray serve` of a run. overrides: of its configuration."""
    port, metrics_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "hydra_ray.cli", "serve", "--run", str(run), "--llm-url", llm_url, "--port",
               str(port), "--metrics-port", str(metrics_port), f"state={state}", *overrides]  # fmt: skip
    with running("hydra-ray serve", command, f"{url}/readyz", log) as pid:
        yield Hosted(url, pid, f"http://127.0.0.1:{metrics_port}/metrics")


@contextlib.contextmanager
def plain_service(run: Path, llm_url: str, log: Path, *, remember: bool) -> Iterator[Hosted]:
    """The plain service on the same run. remember: see `serve_plain`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "hydra_ray.bench.serve_plain", str(run), llm_url, str(port)]
    with running("the plain service", command + ["remember"] * remember, f"{url}/readyz", log) as pid:
        yield Hosted(url, pid)
