"""What retrieve, rerank and select add to the LLM's own time, and what each process spends on a request."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra_ray.bench.serve_load import Load, Seen, percentiles, run_load
from hydra_ray.bench.serve_site import Site, all_well, seed
from hydra_ray.bench.serve_texts import CANDIDATES
from hydra_ray.bench.serve_world import ITEMS

CLIENTS = (1, 8, 32)
ROUNDS = 2
CACHED = {
    "query": "new in every request: encoded once, for reranker and adapter",
    "records": "encoded before: every user was asked for once",
    "candidates": "the same labels each time: encoded before",
    "histories, indexes, heads": "in memory; the user's revision is read from SQLite in every request",
}


def latency(site: Site) -> dict[str, Any]:
    """Per number of clients: `added_ms` (the trace's total without its LLM), `client_added_ms` (the client's wall clock
    without the trace's LLM: HTTP and Serve's proxy, too), stages' medians, requests/s, and processor milliseconds a
    request by process. Rounds take turns."""
    seen: dict[int, list[Seen]] = {clients: [] for clients in CLIENTS}
    spent: dict[int, list[Mapping[str, float]]] = {clients: [] for clients in CLIENTS}
    for _ in range(ROUNDS):
        for clients in CLIENTS:
            before = site.ours.cpu_s()
            load = Load(site.ours.url, site.users, seed(), clients=clients, seconds=site.short_s, traced=True)
            seen[clients].append(all_well(run_load(load), f"latency, {clients} clients"))
            after = site.ours.cpu_s()
            spent[clients].append({role: after[role] - before.get(role, 0.0) for role in after})
    return {
        "items": ITEMS,
        "candidates": CANDIDATES,
        "cached": CACHED,
        "clients": {str(clients): _figures(seen[clients], spent[clients]) for clients in CLIENTS},
    }


def _figures(rounds: Sequence[Seen], spent: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    traces = [ms for seen in rounds for ms in seen.ms]
    walls = [ms for seen in rounds for ms in seen.wall_ms]
    stages = {name: percentiles([ms.get(name, 0.0) for ms in traces]) for name in ("retrieve", "rerank", "select")}
    roles = sorted({role for one in spent for role in one})
    return {
        "requests": len(walls),
        "requests_per_s": round(len(walls) / sum(seen.seconds for seen in rounds), 1),
        "added_ms": percentiles([ms["total"] - ms["llm"] for ms in traces]),
        "client_added_ms": percentiles([wall - ms["llm"] for wall, ms in zip(walls, traces, strict=True)]),
        "stages_p50_ms": {name: found["p50"] for name, found in stages.items()},
        "cpu_ms_per_request": {
            role: round(1000 * sum(one.get(role, 0.0) for one in spent) / len(walls), 2) for role in roles
        },
    }
