"""Three times the load that can be sustained: what is still answered, and how fast the rest is refused."""

from typing import Any

from hydra_ray.bench.serve_load import CONNECTION_ERROR, Load, Seen, percentiles, run_load
from hydra_ray.bench.serve_site import Site, all_well, seed

LEVELS = (8, 16, 32, 64)
TIMES = 3.0


def overload(site: Site) -> dict[str, Any]:
    """peak_per_s: the highest goodput of closed loops, one before and one after the overload. ratio: goodput under an
    open load of 3 times the first peak over the higher of both peaks. Latencies of the open load count from the moment
    a request was due. Goodput is answers over the seconds until the last of them, in both kinds of load."""
    levels = {clients: _closed(site, clients) for clients in LEVELS}
    best = max(levels, key=lambda clients: levels[clients])
    rate = TIMES * levels[best]
    seen = run_load(Load(site.ours.url, site.users, seed(), "open", rate=rate, seconds=site.seconds))
    goodput = _goodput(seen)
    after = _closed(site, best)
    peak = max(levels[best], after)
    refused = seen.walls(429)
    return {
        "ratio": round(goodput / peak, 3),
        "goodput_per_s": round(goodput, 2),
        "peak_per_s": {"before": round(levels[best], 2), "after": round(after, 2)},
        "closed_loops_per_s": {str(clients): round(found, 2) for clients, found in levels.items()},
        "offered_per_s": round(len(seen.status) / site.seconds, 2),
        "seconds": site.seconds,
        "answered_ms": percentiles(seen.walls(200)),
        "refused_share": round(len(refused) / len(seen.status), 3),
        "refused_ms": percentiles(refused),
        "refused_with_retry_after": seen.retry_after,
        "refused": len(refused),
        "statuses_5xx": seen.count(500, 599),
        "connection_errors": seen.count(CONNECTION_ERROR, CONNECTION_ERROR),
        "degraded": seen.degraded,
    }


def _closed(site: Site, clients: int) -> float:
    """Goodput of closed loops, over a third of the overload's time: a peak is the highest of five, and of short ones it
    would be the luckiest."""
    load = Load(site.ours.url, site.users, seed(), clients=clients, seconds=site.seconds / 3)
    return _goodput(all_well(run_load(load), f"closed loops, {clients} clients"))


def _goodput(seen: Seen) -> float:
    return seen.count(200, 200) / seen.seconds
