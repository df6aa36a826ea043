"""`hydra-ray bench store`: reading 1,000 random users out of many, against reading the whole shards they lie in.

Linear heads at width 384 (770 numbers a user) of made-up users, written bucket by bucket, so that memory does not grow
with their number. Both ways go through the store and check every row they read; they take turns, and the system's file
cache is warm for both. With it the formats that were candidates, on the same rows: see `docs/design/head-store.md`.
"""

import json
import resource
import sys
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hydra_ray.bench.store_formats import compare
from hydra_ray.bench.store_users import (
    BUCKETS,
    READS,
    REPEATS,
    SPEC,
    arrays_of,
    folder_bytes,
    made_up,
    median,
    timed,
    user_id,
)
from hydra_ray.core.hashing import bucket_of
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.rows import Arrays

MILLION = 1_000_000


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `users` (default 100,000), `million` (a store of 1,000,000 as well), `formats` (compare them; default yes).
    ratio: seconds to read all shards over seconds to read READS users, at `users`; medians of interleaved repeats.
    """
    users = int(getattr(args, "users", 100_000))
    sizes = [users, MILLION] if getattr(args, "million", False) else [users]
    figures: dict[str, dict[str, float]] = {}
    for size in sizes:
        figures[str(size)] = measure(size)
        print(f"bench store: {size} users: {json.dumps(figures[str(size)])}", file=sys.stderr, flush=True)
    formats = compare(users) if getattr(args, "formats", True) else {}
    return {"ratio": figures[str(users)]["ratio"], "users": sizes, "sizes": figures, "formats": formats}


def measure(users: int) -> dict[str, float]:
    """The figures of one store, made for it and removed afterwards. ms: milliseconds. *_s: seconds."""
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        store = HeadStore.create(f"{folder}/heads", SPEC)
        parts_s, parts = timed(lambda: [store.stage_heads(b, ids, arrays) for b, ids, arrays in made_up(users)])
        publish_s, _ = timed(lambda: store.publish(parts, replace=True))
        size = folder_bytes(Path(folder))
        reader = HeadStore.open(f"{folder}/heads")
        rng = np.random.default_rng(0)
        point, whole, one = [], [], []
        for _ in range(REPEATS):
            wanted = [user_id(int(i)) for i in rng.choice(users, READS, replace=False)]
            seconds, (_, got) = timed(partial(reader.get, wanted))
            point.append(seconds)
            seconds, same = timed(partial(by_shards, reader, wanted))
            whole.append(seconds)
            if any(not np.array_equal(got[name], same[name]) for name in got):
                raise RuntimeError("the two ways read different heads")
            one.append(timed(partial(reader.get, wanted[:1]))[0])
        some = [user_id(int(i)) for i in rng.choice(users, READS, replace=False)]
        put_s, _ = timed(lambda: store.put(some, arrays_of(len(some), seed=-1)))
        delete_s, _ = timed(lambda: store.delete(some))
        vacuum_s, _ = timed(lambda: store.vacuum())
        if store.count() != users - READS or store.get(some)[0].any():
            raise RuntimeError("deleted users are still there")
    return {
        "ratio": round(median(whole) / median(point), 2),
        "point_reads_ms": round(1e3 * median(point), 1),
        "whole_shards_ms": round(1e3 * median(whole), 1),
        "one_read_ms": round(1e3 * median(one), 2),
        "write_parts_s": round(parts_s, 2),
        "publish_s": round(publish_s, 2),
        "put_1000_s": round(put_s, 3),
        "delete_1000_s": round(delete_s, 3),
        "vacuum_s": round(vacuum_s, 2),
        "bytes_per_user": round(size / users, 1),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def by_shards(store: HeadStore, wanted: list[str]) -> Arrays:
    """What `get` gives, by reading the whole shard of every bucket that holds a wanted user."""
    places: dict[int, list[int]] = {}
    for i, user in enumerate(wanted):
        places.setdefault(bucket_of(user, BUCKETS), []).append(i)
    out: Arrays = {name: np.zeros((len(wanted), *shape), np.float32) for name, shape in SPEC.shapes.items()}
    for bucket, rows in places.items():
        users, arrays = store.bucket(bucket)
        row_of = {user: i for i, user in enumerate(users)}
        source = [row_of[wanted[i]] for i in rows]
        for name in out:
            out[name][rows] = arrays[name][source]
    return out
