"""The nodes of the running Ray cluster, and pools of actors on them."""

from typing import Any


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
