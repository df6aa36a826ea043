"""`hydra-ray bench ingest`: does memory stay flat while the data grow a hundredfold?

Synthetic worlds of 1,000, 10,000 and 100,000 users are ingested, each by a fresh driver with a local Ray of its own.
Memory is summed over the driver and everything it started (Ray's daemons and workers), without mapped files, of which
the ingest maps none but libraries (`hydra_ray.bench.memory`).
"""

import json
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from hydra_ray.bench.memory import MIB, run_measured
from hydra_ray.config import Config, SynthConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.synth.write import write_world

SIZES = (1_000, 10_000, 100_000)


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
        source = sum(path.stat().st_size for path in (Path(folder) / "world").iterdir()) / MIB
        command = [sys.executable, "-m", "hydra_ray.bench.ingest", folder, task]
        reply, memory, idle = run_measured(command, f"ingest of {users} users")
    result = json.loads(reply)
    if result["users"] != users:
        raise RuntimeError(f"{result['users']} of {users} users came out")
    seconds = result["seconds"]
    return {
        "source_mib": round(source, 1),
        "seconds": round(seconds, 2),
        "users_per_s": round(users / seconds, 1),
        "mib_per_s": round(source / seconds, 2),
        "idle_mib": round(idle / MIB, 1),
        "peak_mib": round(memory.peak / MIB, 1),
        "peak_with_files_mib": round(memory.peak_with_files / MIB, 1),
        "worker_mib": round(memory.worker / MIB, 1),
        "samples": memory.samples,
    }


def main(argv: Sequence[str]) -> None:
    """The measured driver: folder (with `world/`) and task. Says `ready`, waits for a line, ingests, prints figures."""
    from hydra_ray import env

    env.set_defaults()
    from hydra_ray.cluster import LOCAL, init_ray, shutdown_ray
    from hydra_ray.data.ingest import ingest

    folder, task = Path(argv[0]), load_task(f"synthetic_{argv[1]}")
    config = Config.model_validate({"data": {"source": "lamp", "root": str(folder / "world"), "task": task.name}})
    init_ray(LOCAL, include_dashboard=False, logging_level="warning")
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    counts = ingest(config, task, folder / "world", folder / "out")
    seconds = time.perf_counter() - began
    shutdown_ray()
    print(json.dumps({"seconds": seconds, "users": sum(counts["users"].values())}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
