"""Three times the load that can be sustained: what is still answered, and how fast the rest is refused."""

from itertools import pairwise
from statistics import fmean, median
from typing import Any

from hydra_ray.bench.serve_load import CONNECTION_ERROR, Load, Seen, percentiles, run_load
from hydra_ray.bench.serve_site import Site, all_well, seed

LEVELS = (8, 16, 32, 64)
TIMES = 3.0
TURNS = 3


def overload(site: Site) -> dict[str, Any]:
    """Closed loops at LEVELS find the clients that get most answers. These loops and an open load of TIMES as many
    requests a second then take turns: the same loop's goodput differs by a fifth and more within minutes where the
    machine is shared, which is as much as is looked for.

    ratio: of the open load's goodput to the mean of the loops' just before and after it, the median of the turns.
    lowest_over_highest: the lowest goodput of an open load over the highest of any loop. Goodput is answers over the
    seconds until the last of them, in both kinds of load. Latencies of the open load count from the moment a request
    was due.
    """
    levels = {clients: _closed(site, clients) for clients in LEVELS}
    best = max(levels, key=lambda clients: levels[clients])
    rate = TIMES * levels[best]
    closed, opened = [_closed(site, best)], list[Seen]()
    for _ in range(TURNS):
        opened.append(run_load(Load(site.ours.url, site.users, seed(), "open", rate=rate, seconds=site.seconds)))
        closed.append(_closed(site, best))
    goodputs = [_goodput(seen) for seen in opened]
    ratios = [goodput / fmean(reference) for goodput, reference in zip(goodputs, pairwise(closed), strict=True)]
    refused = [ms for seen in opened for ms in seen.walls(429)]
    requests = sum(len(seen.status) for seen in opened)
    return {
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "lowest_over_highest": round(min(goodputs) / max(*levels.values(), *closed), 3),
        "goodput_per_s": [round(goodput, 2) for goodput in goodputs],
        "closed_loops_per_s": [round(found, 2) for found in closed],
        "closed_loops_by_clients_per_s": {str(clients): round(found, 2) for clients, found in levels.items()},
        "offered_per_s": round(requests / (TURNS * site.seconds), 2),
        "seconds": site.seconds,
        "answered_ms": percentiles([ms for seen in opened for ms in seen.walls(200)]),
        "refused_share": round(len(refused) / requests, 3),
        "refused_ms": percentiles(refused),
        "refused_with_retry_after": sum(seen.retry_after for seen in opened),
        "refused": len(refused),
        "statuses_5xx": sum(seen.count(500, 599) for seen in opened),
        "connection_errors": sum(seen.count(CONNECTION_ERROR, CONNECTION_ERROR) for seen in opened),
        "degraded": [seen.degraded for seen in opened if seen.degraded],
    }


def _closed(site: Site, clients: int) -> float:
    """Goodput of closed loops, over a third of the overload's time."""
    load = Load(site.ours.url, site.users, seed(), clients=clients, seconds=site.seconds / 3)
    return _goodput(all_well(run_load(load), f"closed loops, {clients} clients"))


def _goodput(seen: Seen) -> float:
    return seen.count(200, 200) / seen.seconds
