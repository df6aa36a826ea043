"""Made-up users' heads for `bench store`, and how its reads are timed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hydra_ray.core.hashing import bucket_of
from hydra_ray.store.heads.rows import Arrays
from hydra_ray.store.heads.spec import HeadSpec

WIDTH = 384
BUCKETS = 64
READS = 1_000
REPEATS = 5
SPEC = HeadSpec("linear", WIDTH, 0, {"out_weight": (WIDTH, 2), "out_bias": (2,)}, "bench", BUCKETS)


def made_up(users: int) -> Iterator[tuple[int, list[str], Arrays]]:
    """bucket, its users, their arrays; one bucket in memory at a time."""
    bucket_N = np.fromiter((bucket_of(user_id(i), BUCKETS) for i in range(users)), np.int16, users)
    for bucket in range(BUCKETS):
        ids = [user_id(int(i)) for i in np.flatnonzero(bucket_N == bucket)]
        yield bucket, ids, arrays_of(len(ids), seed=bucket)


def arrays_of(users: int, *, seed: int) -> Arrays:
    """Normal draws: they compress as little as real heads do."""
    rng = np.random.default_rng(seed % (1 << 32))
    return {name: rng.standard_normal((users, *shape), np.float32) for name, shape in SPEC.shapes.items()}


def user_id(index: int) -> str:
    """The id of a made-up user."""
    return f"user{index:08d}"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def median(values: list[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
