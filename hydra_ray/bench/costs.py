"""`python -m hydra_ray.bench.costs`: what one user costs, per head kind; the unit figures of `docs/design/costs.md`.

Processor time of the solve alone on one thread, at the default model's width and at the paper's; bytes that a store
keeps; and the requests that its reads make, as Lance counts them. Times are of the process, so that other load on the
machine adds little to them.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hydra_ray.bench.fit_scale_users import L2, ROWS, draw, user_id
from hydra_ray.config import FitConfig
from hydra_ray.core.hashing import bucket_of
from hydra_ray.models.heads import make_head, parameters_per_user
from hydra_ray.models.mixture import Router
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.store.heads.staged_fragments import StagedFragments
from hydra_ray.training.user_fit import solver
from hydra_ray.training.user_fit.padded_users import PaddedUsers, pad_users

RANK, EXPERTS, TOP, ENCODER_WIDTH, RECORDS = 8, 7, 3, 384, 128
SOLVED: dict[int, dict[str, int]] = {
    68: {"bayesian_linear": 128, "linear": 128, "low_rank": 128, "dense": 128},
    768: {"bayesian_linear": 64, "linear": 64, "low_rank": 32, "dense": 4},
}
"""Width of a pair embedding (64 concepts and 4 features; the paper's) -> kind -> users solved for at once."""
STORED, BUCKETS, READ = 100_000, 100, 1_000
"""Users and buckets of the store that is read from, and users read at once."""


def run() -> dict[str, Any]:
    """solve_cpu_ms: width -> kind -> milliseconds a user. router_cpu_ms: of `mixture`. head_bytes: as `solve_cpu_ms`.
    store: `requests_and_bytes`."""
    torch.set_num_threads(1)
    return {
        "rows_per_user": ROWS,
        "solve_cpu_ms": {
            str(width): {kind: solve_cpu_ms(kind, width, users) for kind, users in kinds.items()}
            for width, kinds in SOLVED.items()
        },
        "router_cpu_ms": router_cpu_ms(),
        "head_bytes": {
            str(width): {kind: 4 * parameters_per_user(kind, width, RANK) for kind in kinds}
            for width, kinds in SOLVED.items()
        },
        "store": requests_and_bytes(STORED, BUCKETS),
    }


def solve_cpu_ms(kind: str, width: int, users: int) -> float:
    """Processor milliseconds a user of one batched solve with the fit's defaults; features and pull are given."""
    head = make_head(kind, width, RANK, 0.0)
    drawn = draw([user_id(i) for i in range(users)], width, 0)
    rows = pad_users([u.z for u in drawn], [u.label for u in drawn], [u.query for u in drawn])
    tuned = {"precision": [4.0] * (width + 1)} if kind == "bayesian_linear" else {"l2": L2}

    def work(rows: PaddedUsers, config: FitConfig) -> None:
        solver.solve_heads(head, rows, tuned, config, "bce")

    work(rows.users(torch.arange(2)), FitConfig(epochs=2))
    return _cpu_ms(lambda: work(rows, FitConfig()), users)


@torch.no_grad()
def router_cpu_ms() -> float:
    """Processor milliseconds a user of the router alone, on RECORDS pair embeddings."""
    router = Router(ENCODER_WIDTH, 64, EXPERTS, TOP)
    records, present = torch.randn(64, RECORDS, ENCODER_WIDTH), torch.ones(64, RECORDS)
    router(records, present)
    return _cpu_ms(lambda: router(records, present), len(records))


def _cpu_ms(work: Callable[[], object], users: int) -> float:
    began = time.process_time()
    work()
    return round((time.process_time() - began) / users * 1000, 3)


def requests_and_bytes(users: int, buckets: int) -> dict[str, float]:
    """Of a store of `linear` heads at width 68: bytes a user besides the values; requests and bytes of its reads, the
    first of all (which also reads metadata) and later ones."""
    shapes = make_head("linear", 68, RANK, 0.0).delta_shapes()
    spec = HeadSpec("linear", 68, RANK, shapes, "bench", buckets)
    ids: list[list[str]] = [[] for _ in range(buckets)]
    for user in map(user_id, range(users)):
        ids[bucket_of(user, buckets)].append(user)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        store = HeadStore.create(f"{folder}/heads", spec)
        parts: list[StagedFragments] = []
        for bucket, some in enumerate(ids):
            arrays = {n: rng.standard_normal((len(some), *shape), np.float32) for n, shape in shapes.items()}
            parts.append(store.stage_heads(bucket, some, arrays))
        store.publish(parts, replace=True)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        reader = HeadStore.open(f"{folder}/heads")
        chosen = [user_id(int(i)) for i in rng.choice(users, 2 * READ + 2, replace=False)]
        reads: dict[str, Callable[[], object]] = {
            "first": lambda: reader.get(chosen[:1]),
            "one": lambda: reader.get(chosen[1:2]),
            "first_many": lambda: reader.get(chosen[2 : READ + 2]),
            "many": lambda: reader.get(chosen[READ + 2 :]),
            "bucket": lambda: reader.bucket(0),
        }
        figures: dict[str, float] = {
            "bytes_besides_values": round(size / users - spec.row_bytes, 1),
            "read_at_once": READ,
        }
        for name, read in reads.items():
            reader.io()
            read()
            figures[f"{name}_requests"], figures[f"{name}_bytes"] = reader.io()
    return figures


if __name__ == "__main__":
    print(json.dumps(run()))
