"""Ratios: our throughput against the plain service's, and a batch of many users against a batch of one."""

from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

from hydra_ray.bench.serve_hosts import Hosted, plain_service
from hydra_ray.bench.serve_load import Load, run_load
from hydra_ray.bench.serve_site import Site, all_well, seed

CLIENTS = 32
REPEATS = 3
AT_ONCE = 64
USERS_REPEATS = 7


def plain(site: Site) -> dict[str, Any]:
    """ratio: our requests/s over the plain service's, which encodes what each pair needs. ratio_remembering: over the
    same service when it keeps all embeddings for ever. Medians of interleaved repeats; the same users and questions."""
    with ExitStack() as stack:
        services = {
            "ours": site.ours,
            **{
                name: stack.enter_context(
                    plain_service(site.run, site.llm_url, site.folder / f"{name}.log", remember=remember)
                )
                for name, remember in (("plain", False), ("plain_remembering", True))
            },
        }
        _warm(site, services)
        rates: dict[str, list[float]] = {name: [] for name in services}
        for _ in range(REPEATS):
            questions = seed()
            for name, service in services.items():
                load = Load(service.url, site.users, questions, clients=CLIENTS, seconds=site.short_s)
                seen = all_well(run_load(load), name)
                rates[name].append(len(seen.status) / seen.seconds)
    middle = {name: median(values) for name, values in rates.items()}
    return {
        "ratio": round(middle["ours"] / middle["plain"], 2),
        "ratio_remembering": round(middle["ours"] / middle["plain_remembering"], 2),
        "clients": CLIENTS,
        "requests_per_s": {name: round(rate, 2) for name, rate in middle.items()},
        "repeats": {name: [round(rate, 2) for rate in values] for name, values in rates.items()},
    }


def _warm(site: Site, services: Mapping[str, Hosted]) -> None:
    """Every user once where embeddings are kept: ours has been asked before."""
    service = services["plain_remembering"]
    run_load(Load(service.url, site.users, seed(), clients=8, requests=site.users, in_turn=True))


def users(site: Site) -> dict[str, Any]:
    """ratio: seconds for the requests of 64 users over those of one. Medians of interleaved repeats after one untimed
    round."""
    taken: dict[int, list[float]] = {AT_ONCE: [], 1: []}
    for repeat in range(USERS_REPEATS + 1):
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
