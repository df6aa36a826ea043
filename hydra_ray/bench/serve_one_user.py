"""Whether a batch of many users costs more than a batch of one: 64 requests at once, of 64 users and of one."""

from statistics import median
from typing import Any

from hydra_ray.bench.serve_load import Load, run_load
from hydra_ray.bench.serve_site import Site, all_well, seed

AT_ONCE = 64
REPEATS = 7


def users(site: Site) -> dict[str, Any]:
    """ratio: seconds for the requests of 64 users over those of one. Medians of interleaved repeats after one untimed
    round."""
    taken: dict[int, list[float]] = {AT_ONCE: [], 1: []}
    for repeat in range(REPEATS + 1):
        for different, seconds in taken.items():
            load = Load(site.ours.url, different, seed(), clients=AT_ONCE, requests=AT_ONCE, in_turn=True)
            seen = all_well(run_load(load), f"{different} users")
            if repeat:
                seconds.append(seen.seconds)
    many, one = median(taken[AT_ONCE]), median(taken[1])
    return {
        "ratio": round(many / one, 3),
        "at_once": AT_ONCE,
        "many_users_s": [round(s, 3) for s in taken[AT_ONCE]],
        "one_user_s": [round(s, 3) for s in taken[1]],
    }
