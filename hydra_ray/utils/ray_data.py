"""Nodes of the running Ray cluster, pools of actors on them, and Parquet files as Ray datasets."""

from typing import Any

from hydra_ray import env

MOST_READERS = 32
"""Ray's own number of actors that read footers, on a cluster of any size."""


def alive_nodes() -> list[dict[str, float]]:
    """The total resources of each node that is alive, by Ray's names."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def actor_pool(workers: tuple[int, int]) -> Any:
    """Ray Data's pool of fewest to most actors."""
    import ray.data

    fewest, most = workers
    if fewest == most:
        return ray.data.ActorPoolStrategy(size=most)
    return ray.data.ActorPoolStrategy(min_size=fewest, max_size=most)


def read_parquet(paths: str | list[str]) -> Any:
    """The dataset of the files, whose folders' names mean nothing. Needs a running Ray.

    Ray Data 2.60 starts 32 actors to read the files' footers, for every pipeline and on a single node too, where each
    is a process that imports Ray Data first: on two cores a pipeline of a thousand rows takes 7 s with them and 1.5 s
    with one. Each reads many files at a time, so here they are as many as nodes.
    """
    import ray.data

    alive = sum(node["Alive"] for node in ray.nodes())
    env.set_footer_readers(min(MOST_READERS, max(1, alive)))
    return ray.data.read_parquet(paths, partitioning=None)
