"""`hydra-ray bench ingest`: does memory stay flat while the data grow a hundredfold?

Synthetic worlds of 1,000, 10,000 and 100,000 users are ingested, each by a fresh driver with a local Ray of its own.
Memory is summed over the driver and everything it started (Ray's daemons and workers), every SAMPLE_S seconds: the
proportional set size (PSS), so that shared pages, the object store's among them, count once, less the pages of mapped
files. Those are libraries (the ingest maps no data), whose share depends on what else runs on the machine.
"""

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from hydra_ray.config import Config, SynthConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.repeating import Repeating
from hydra_ray.synth.write import write_world

SIZES = (1_000, 10_000, 100_000)
SAMPLE_S = 0.25
_MIB = 1 << 20


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `max_users` (default 100,000) leaves out larger worlds; `task` (default tagging).
    ratio: the largest world's peak memory over the smallest's. sizes: for each number of users the source's MiB, the
    seconds of `ingest`, users and MiB per second, `idle_mib` (Ray before the ingest), `peak_mib`, `peak_with_files_mib`
    (whole PSS) and `worker_mib` (the largest single worker). A small world may need one worker, a larger one wants all.
    Raises RuntimeError if an ingest fails.
    """
    largest = int(getattr(args, "max_users", SIZES[-1]))
    sizes = [size for size in SIZES if size <= largest] or [largest]
    task = str(getattr(args, "task", "tagging"))
    figures: dict[str, dict[str, float]] = {}
    for size in sizes:
        figures[str(size)] = measure(size, task)
        print(f"bench ingest: {size} users: {json.dumps(figures[str(size)])}", file=sys.stderr, flush=True)
    peaks = [figure["peak_mib"] for figure in figures.values()]
    return {"ratio": round(peaks[-1] / peaks[0], 3), "users": sizes, "sizes": figures, "cpus": psutil.cpu_count()}


def measure(users: int, task: str) -> dict[str, float]:
    """The figures of one world, written before the clock starts and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        write_world(SynthConfig.model_validate({"task": task, "users": users}), Path(folder) / "world")
        source = sum(path.stat().st_size for path in (Path(folder) / "world").iterdir()) / _MIB
        command = [sys.executable, "-m", "hydra_ray.bench.ingest", folder, task]
        with (
            (Path(folder) / "log").open("w+") as log,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as child,
        ):
            assert child.stdin is not None
            assert child.stdout is not None
            with PeakMemory(child.pid) as memory:
                ready = child.stdout.readline()
                idle = memory.sample()
                reply = child.communicate("go\n")[0] if ready else ""
            if child.wait() != 0 or not reply:
                log.seek(0)
                raise RuntimeError(f"ingest of {users} users failed: {log.read()[-2000:]}")
        result = json.loads(reply.splitlines()[-1])
    if result["users"] != users:
        raise RuntimeError(f"{result['users']} of {users} users came out")
    seconds = result["seconds"]
    return {
        "source_mib": round(source, 1),
        "seconds": round(seconds, 2),
        "users_per_s": round(users / seconds, 1),
        "mib_per_s": round(source / seconds, 2),
        "idle_mib": round(idle / _MIB, 1),
        "peak_mib": round(memory.peak / _MIB, 1),
        "peak_with_files_mib": round(memory.peak_with_files / _MIB, 1),
        "worker_mib": round(memory.worker / _MIB, 1),
        "samples": memory.samples,
    }


class PeakMemory(Repeating):
    """Samples the memory of a process and all its descendants while the context lasts; all in bytes.

    peak, peak_with_files: of the sum, without and with mapped files. worker: of one Ray worker, without.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(self.sample, SAMPLE_S)
        self._root = psutil.Process(pid)
        self.peak = 0
        self.peak_with_files = 0
        self.worker = 0
        self.samples = 0

    def sample(self) -> int:
        """Bytes now, without mapped files."""
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        sizes = [(_bytes_of(process), _is_worker(process)) for process in tree]
        total = sum(own for (own, _), _ in sizes)
        self.peak = max(self.peak, total)
        self.peak_with_files = max(self.peak_with_files, sum(whole for (_, whole), _ in sizes))
        self.worker = max([self.worker, *(own for (own, _), worker in sizes if worker)])
        self.samples += 1
        return total


def _bytes_of(process: Any) -> tuple[int, int]:
    """A process's PSS without and with mapped files, or its RSS where the system has no PSS; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return (kib["Pss_Anon"] + kib["Pss_Shmem"]) * 1024, kib["Pss"] * 1024
    except (OSError, ValueError, KeyError):
        pass
    try:
        rss = int(process.memory_info().rss)
    except psutil.Error:
        return 0, 0
    return rss, rss


def _is_worker(process: Any) -> bool:
    """Whether it runs tasks of the pipelines; Ray's own actors and agents have names of their own."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return command.startswith(("ray::MapBatches", "ray::MapWorker", "ray::_MapWorker", "ray::IDLE"))


def main(argv: Sequence[str]) -> None:
    """The measured driver: folder (with `world/`) and task. Says `ready`, waits for a line, ingests, prints figures."""
    from hydra_ray import environment

    environment.set_defaults()
    import ray

    from hydra_ray.data.ingest import ingest

    folder, task = Path(argv[0]), load_task(f"synthetic_{argv[1]}")
    config = Config.model_validate({"data": {"source": "lamp", "root": str(folder / "world"), "task": task.name}})
    ray.init(address="local", include_dashboard=False, logging_level="warning")
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    counts = ingest(config, task, folder / "world", folder / "out")
    seconds = time.perf_counter() - began
    ray.shutdown()
    print(json.dumps({"seconds": seconds, "users": sum(counts["users"].values())}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
