"""`hydra-ray bench state-growth --database URL`: histories of many users in PostgreSQL against those of few.

Users of 30 items each are loaded in bulk into two stores. Then both take turns: several threads append single items to
random users, read whole histories and states. What a call costs should not depend on how many users there are.
"""

import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra_ray.bench.state import BUCKETS, ITEMS, THREADS, Figures, database_of, load, medians, one_turn, own_schema
from hydra_ray.serve.state.service_state import ServiceState

FEW, MANY = 1_000, 100_000
TURNS = 7


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `database` (a URL), `users` (the larger number, default MANY). ratio: the 95th percentile of reading whole
    histories with many users over that with few, medians of TURNS turns; `ratios` has those of all kinds of calls.
    few, many: `users`, `load_s` (seconds of the bulk load), and medians by kind of calls: `*_per_s`, `*_p95_ms`.
    Raises UserError without a database.
    """
    url = database_of(args)
    sizes = {"few": FEW, "many": max(FEW, int(getattr(args, "users", MANY)))}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydra_ray_bench_")))
        stores = {
            name: ServiceState(folder / name, stack.enter_context(own_schema(url))).create_users(BUCKETS, "bench")
            for name in sizes
        }
        loaded = {name: load(store, sizes[name]) for name, store in stores.items()}
        print(f"bench state-growth: loaded, seconds: {loaded}", file=sys.stderr, flush=True)
        turns: dict[str, list[Figures]] = {name: [] for name in stores}
        for turn in range(TURNS):
            for name, store in stores.items():
                turns[name].append(one_turn(store, sizes[name], turn))
                print(f"bench state-growth: {name}: {turns[name][-1]}", file=sys.stderr, flush=True)
    found = {name: medians(some) for name, some in turns.items()}
    ratios = {
        kind: round(found["many"][f"{kind}_p95_ms"] / found["few"][f"{kind}_p95_ms"], 2)
        for kind in ("append", "history", "state")
    }
    about = {name: {"users": sizes[name], "load_s": loaded[name], **found[name]} for name in sizes}
    return {"ratio": ratios["history"], "ratios": ratios, "items": ITEMS, "threads": THREADS, **about}
