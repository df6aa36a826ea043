"""`hydra-ray bench fit-scale`: does a user cost the same to fit among 1,000 users as among 1,000,000?

Each number of users and head kind is fitted by a fresh driver with a local Ray of its own, through `fit_users`: Ray
Data over buckets, features saved and read, solve, parts, records, publish. In place of texts that are encoded stand
features that are drawn (`hydra_ray.bench.fit_scale_users`), at every size, so that sizes compare; what encoding would
add is measured once, on few users. Buckets grow with the users, as they must: memory follows the bucket.

What is compared is `fit_s`, from the first bucket's beginning to the published version. Starting Ray Data and its actor
and importing PyTorch there come before, cost the same at every size, and are given separately as `start_s`.
"""

import json
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from hydra_ray.bench.fit_scale_users import ROWS, SHAPE_OF_USER, drawn_fit, encoding, make_config
from hydra_ray.bench.memory import MIB, run_measured

SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
KINDS: tuple[str, ...] = ("linear", "low_rank")
ENCODED = 20
"""Users whose texts are encoded: some seconds on one core."""
REPEATS, FEW = 3, 3_000
"""Up to FEW users are fitted REPEATS times, more once; the figures are medians."""


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `max_users` (default 100,000), `million` (1,000,000 users as well), `kinds` (default KINDS), `sizes` (instead
    of SIZES), `encoded` (default ENCODED).
    ratio: seconds per 1,000 users, the worst size over the best, of the worse kind; cpu_ratio: the same of processor
    seconds, which other load on the machine does not reach as much; memory_ratio: peak memory, likewise.
    kinds: per kind and number of users the figures of `measure`. Raises RuntimeError if a fit fails.
    """
    largest = int(getattr(args, "max_users", SIZES[-1]))
    sizes = tuple(getattr(args, "sizes", None) or [size for size in SIZES if size <= largest] or [largest])
    if getattr(args, "million", False):
        sizes = (*sizes, MILLION)
    kinds: Sequence[str] = getattr(args, "kinds", None) or KINDS
    figures: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in kinds}
    for size in sizes:
        for kind in kinds:
            figures[kind][str(size)] = measure(kind, size)
            print(
                f"bench fit-scale: {kind}, {size}: {json.dumps(figures[kind][str(size)])}", file=sys.stderr, flush=True
            )
    encoded = int(getattr(args, "encoded", ENCODED))
    return {
        "ratio": _worst(figures, "s_per_1000"),
        "cpu_ratio": _worst(figures, "cpu_s_per_1000"),
        "memory_ratio": _worst(figures, "peak_mib"),
        "users": list(sizes),
        "kinds": figures,
        "features": "drawn at every size",
        "user": SHAPE_OF_USER,
        "rows_per_user": ROWS,
        "encoding": encoding(encoded) if encoded else {},
        "cpus": psutil.cpu_count(),
    }


def _worst(figures: dict[str, dict[str, dict[str, float]]], name: str) -> float:
    """The largest over the smallest of a figure over the sizes, of the kind where that is greatest."""
    spread = ([size[name] for size in kind.values()] for kind in figures.values())
    return round(max(max(values) / min(values) for values in spread), 3)


def measure(kind: str, users: int) -> dict[str, float]:
    """The figures of one kind and number of users; what it wrote is removed.

    s_per_1000: seconds per 1,000 users (see `fit_s` in the module's docstring), cpu_s_per_1000: of processor time,
    start_s: before the first bucket, publish_s: of fit_s. idle_mib, peak_mib, worker_mib: as `bench ingest` has them.
    bytes_per_user: of the published store. buckets. kept_shared_head: share of users whom the shared head serves.
    load: of the machine, over the last minute.
    """
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        command = [sys.executable, "-m", "hydra_ray.bench.fit_scale", folder, kind, str(users)]
        reply, memory, idle = run_measured(command, f"fitting {users} users")
    runs: list[dict[str, float]] = json.loads(reply)
    if any(one["users"] != users for one in runs):
        raise RuntimeError(f"{[one['users'] for one in runs]} of {users} users were fitted")
    middle = {name: median(one[name] for one in runs) for name in runs[0]}
    return {
        "s_per_1000": round(middle["fit_s"] / users * 1000, 4),
        "cpu_s_per_1000": round(middle["cpu_s"] / users * 1000, 4),
        "fit_s": round(middle["fit_s"], 2),
        "publish_s": round(middle["publish_s"], 3),
        "start_s": round(middle["all_s"] - middle["fit_s"], 2),
        "idle_mib": round(idle / MIB, 1),
        "peak_mib": round(memory.peak / MIB, 1),
        "worker_mib": round(memory.worker / MIB, 1),
        "bytes_per_user": round(middle["bytes"] / users, 1),
        "buckets": int(middle["buckets"]),
        "kept_shared_head": round(middle["kept_shared_head"] / users, 4),
        "runs": len(runs),
        "load": round(psutil.getloadavg()[0], 1),
    }


def main(argv: Sequence[str]) -> None:
    """The measured driver: folder, kind, users. Says `ready`, waits for a line, fits, prints what it counted."""
    from hydra_ray.pipeline.fit_users import fit_users
    from hydra_ray.pipeline.run_context import RunContext
    from hydra_ray.training.artifacts.user_heads import FOLDER

    folder, kind, users = Path(argv[0]), argv[1], int(argv[2])
    with RunContext(make_config(kind, users)) as run:
        fit = drawn_fit(run.config, users, folder)
        run.ray()
        print("ready", flush=True)
        sys.stdin.readline()
        runs = []
        for _ in range(REPEATS if users <= FEW else 1):
            began = time.time()
            counts = fit_users(run, fit, {"l2": run.config.fit.l2}, folder / "out")
            counts["all_s"] = time.time() - began
            counts["buckets"] = len(fit.by_bucket())
            files = [file for file in (folder / "out" / FOLDER).rglob("*") if file.is_file()]
            counts["bytes"] = sum(file.stat().st_size for file in files)
            runs.append(counts)
            shutil.rmtree(folder / "out")
            shutil.rmtree(fit.features)
    print(json.dumps(runs), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
