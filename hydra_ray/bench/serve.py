"""`hydra-ray bench serve`: the service under load that a second process makes, its black box instant in a third.

Everything it needs it makes: runs of random weights in a temporary folder (`serve_world`), hosted by the real
`hydra-ray serve`. Parts, each by name:

    latency    milliseconds that retrieve, rerank and select add, at 1, 8 and 32 clients
    plain      throughput against a plain service of the same parts (`serve_plain`)
    users      64 requests at once of 64 users against 64 of one user
    zipf       100,000 users in the store against 1,000, memory bounded
    overload   three times the load that can be sustained

The processor is shared with the load and the black box, and with whatever else runs: what is compared takes turns.
"""

import json
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.bench.serve_hosts import instant_llm, our_service
from hydra_ray.bench.serve_latency import latency
from hydra_ray.bench.serve_load import Load, percentiles, run_load
from hydra_ray.bench.serve_overload import overload
from hydra_ray.bench.serve_ratio import plain, users
from hydra_ray.bench.serve_site import Site, seed, service_config
from hydra_ray.bench.serve_world import ITEMS, make_run
from hydra_ray.bench.serve_zipf import zipf
from hydra_ray.errors import UserError

USERS = 128
WARM_CLIENTS = 8
ON_ONE_SERVICE: dict[str, Callable[[Site], dict[str, Any]]] = {
    "latency": latency,
    "plain": plain,
    "users": users,
    "overload": overload,
}
PARTS = ("latency", "plain", "users", "zipf", "overload")


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures of the chosen parts.

    args: `parts` (comma-separated, default all), `users` (zipf: in the larger store, default 100,000), `seconds`
    (overload: how long, default 60; the other parts take a sixth of it for each measurement), `model` (settings
    of the run's encoder that are not the defaults), `set` (overrides of the service's configuration, as
    `scorer.threads=2`).
    ratio: of the part `plain`, None without it. load_average: of the machine before and after.
    Raises UserError for an unknown part or override.
    """
    chosen = [part for part in (getattr(args, "parts", None) or ",".join(PARTS)).split(",") if part]
    if unknown := sorted(set(chosen) - set(PARTS)):
        raise UserError(f"--parts {unknown[0]}: no such part; give some of {','.join(PARTS)}")
    seconds = float(getattr(args, "seconds", None) or 60.0)
    model = dict(getattr(args, "model", None) or {})
    more = tuple(getattr(args, "set", None) or ())
    service_config(more)  # here, before anything is made
    before, found = os.getloadavg(), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with instant_llm(folder) as llm:
            some = [part for part in chosen if part in ON_ONE_SERVICE]
            if some:
                found |= _on_one_service(folder, llm, some, seconds, model, more)
            if "zipf" in chosen:
                larger = int(getattr(args, "users", None) or 100_000)
                found["zipf"] = _logged("zipf", zipf(folder, llm, larger, seconds / 6, model, more))
    return {
        "ratio": found.get("plain", {}).get("ratio"),
        **found,
        "model": model,
        "set": list(more),
        "cpus": os.cpu_count(),
        "load_average": [round(x, 1) for x in (*before[:1], *os.getloadavg()[:1])],
    }


def _on_one_service(
    folder: Path, llm: str, parts: Sequence[str], seconds: float, model: Mapping[str, Any], more: Sequence[str]
) -> dict[str, Any]:
    """The parts that share a small run and its service."""
    run = make_run(folder / "small", USERS, model=model)
    began = time.perf_counter()
    with our_service(run, folder / "small-state", llm, folder / "small.log", more) as ours:
        found: dict[str, Any] = {"start_s": round(time.perf_counter() - began, 1)}
        # Every user once, so that what is kept of them is there; this shows what it costs when it is not.
        cold = run_load(Load(ours.url, USERS, seed(), clients=WARM_CLIENTS, requests=USERS, in_turn=True))
        found["first_request_ms"] = {"clients": WARM_CLIENTS, "items": ITEMS, **percentiles(cold.walls())}
        site = Site(folder, run, llm, ours, USERS, seconds)
        return found | {part: _logged(part, ON_ONE_SERVICE[part](site)) for part in parts}


def _logged(part: str, figures: dict[str, Any]) -> dict[str, Any]:
    print(f"bench serve: {part}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures
