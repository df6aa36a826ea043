"""Many users in the store, few of them in memory: Zipf traffic on a large store and on a small one."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra_ray.bench.serve_hosts import Hosted, our_service
from hydra_ray.bench.serve_load import Load, Seen, percentiles, run_load
from hydra_ray.bench.serve_site import all_well, seed, service_config
from hydra_ray.bench.serve_world import make_run
from hydra_ray.serve.config import ServeConfig

FEW = 1_000
ITEMS = 3
EXPONENT = 1.1
CLIENTS = 4
ROUNDS = 4
WARM_SHARE = 2.0
"""Seconds of warming up, in seconds of one measurement."""
BUDGETS = {"history_server.cache_mib": 1, "scorer.head_cache_mib": 1, "scorer.embedding_cache_mib": 8}
"""So small that neither store's users fit: what is asked for least is thrown out all the time. Heads: per component."""
METRICS_LAG_S = 12.0
"""Ray's agents export what replicas count within ten seconds."""
_CACHE = re.compile(r'^ray_hydra_cache_(bytes|hits_total|misses_total)\{.*cache="(\w+)".*\} (\S+)$', re.MULTILINE)


def zipf(
    folder: Path, llm_url: str, many: int, short_s: float, model: Mapping[str, Any], overrides: Sequence[str]
) -> dict[str, Any]:
    """ratio: p95 with `many` users in the stores over p95 with FEW, from the clients' clock; rounds take turns.

    cache_mib, rss_mib: of the service with `many` users, after the warming up and at the end.
    """
    settings = [*(f"{name}={mib}" for name, mib in BUDGETS.items()), *overrides]
    budgets = _budgets(service_config(settings))
    with ExitStack() as stack:
        services: dict[int, Hosted] = {}
        built: dict[str, dict[str, float]] = {}
        for users in (FEW, many):
            began = time.perf_counter()
            run = make_run(folder / f"zipf-{users}", users, ITEMS, model)
            made = time.perf_counter()
            state, log = folder / f"zipf-{users}-state", folder / f"zipf-{users}.log"
            services[users] = stack.enter_context(our_service(run, state, llm_url, log, settings))
            built[str(users)] = {"make_s": round(made - began, 1), "start_s": round(time.perf_counter() - made, 1)}
        for users, service in services.items():
            _ask(service, users, WARM_SHARE * short_s)
        early = services[many].rss_mib()
        seen: dict[int, list[Seen]] = {users: [] for users in services}
        for _ in range(ROUNDS):
            for users, service in services.items():
                seen[users].append(_ask(service, users, short_s))
        time.sleep(METRICS_LAG_S)
        late = services[many].rss_mib()
        caches = {users: _caches(service.metrics()) for users, service in services.items()}
    walls = {users: percentiles([ms for one in rounds for ms in one.wall_ms]) for users, rounds in seen.items()}
    return {
        "ratio": round(walls[many]["p95"] / walls[FEW]["p95"], 3),
        "users": [FEW, many],
        "items": ITEMS,
        "exponent": EXPONENT,
        "clients": CLIENTS,
        "budgets_mib": budgets,
        "wall_ms": {str(users): found for users, found in walls.items()},
        "requests": {str(users): sum(len(one.status) for one in rounds) for users, rounds in seen.items()},
        "caches": {str(users): found for users, found in caches.items()},
        "rss_mib": {role: [early.get(role), late.get(role)] for role in ("history_server", "scorer")},
        "build": built,
    }


def _ask(service: Hosted, users: int, seconds: float) -> Seen:
    load = Load(service.url, users, seed(), clients=CLIENTS, seconds=seconds, zipf=EXPONENT)
    return all_well(run_load(load), f"zipf, {users} users")


def _budgets(config: ServeConfig) -> dict[str, int]:
    of = config.scorer
    return {
        "cache_mib": config.history_server.cache_mib,
        "head_cache_mib": of.head_cache_mib,
        "embedding_cache_mib": of.embedding_cache_mib,
    }


def _caches(metrics: str) -> dict[str, dict[str, float]]:
    """cache -> MiB held, and the share of lookups found in memory."""
    found: dict[str, dict[str, float]] = {}
    for kind, cache, value in _CACHE.findall(metrics):
        found.setdefault(cache, {})[kind] = float(value)
    return {
        cache: {
            "mib": round(counts.get("bytes", 0.0) / (1 << 20), 3),
            "hit_rate": round(
                counts.get("hits_total", 0.0)
                / max(1.0, counts.get("hits_total", 0.0) + counts.get("misses_total", 0.0)),
                3,
            ),
        }
        for cache, counts in found.items()
    }
