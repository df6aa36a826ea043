"""What a Ray cluster has no room for now, as Ray says."""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from hydra_ray.pipeline.room import Holder, Room

MOST_ACTORS = 10_000


def cluster_room(address: str, job: str) -> Room:
    """The cluster now.

    Args:
        address: Of its GCS, `host:port`.
        job: Ray's id of this run's job, in hexadecimal.

    The holders are looked up only where something has no room, and unknown where the cluster has no dashboard, which
    alone lists actors. Raises what Ray raises where the cluster cannot be reached.
    """
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(address)
    wanted: Counter[tuple[tuple[str, float], ...]] = Counter()
    demands = status.resource_demands
    for demand in (*demands.ray_task_actor_demand, *demands.placement_group_demand):
        for request in demand.bundles_by_count:
            wanted[tuple(sorted((name, float(amount)) for name, amount in request.bundle.items()))] += request.count
    nodes = [node.resource_usage.usage for node in (*status.active_nodes, *status.idle_nodes) if node.resource_usage]
    room = Room(
        wanted,
        [{usage.resource_name: usage.total - usage.used for usage in node} for node in nodes],
        {usage.resource_name: usage.total for usage in status.cluster_resource_usage},
        None,
    )
    return replace(room, holders=_holders(address, job)) if room.unplaced() else room


def _holders(address: str, job: str) -> list[Holder] | None:
    from ray.util.state import list_actors
    from ray.util.state.exception import RayStateApiException

    alive: Any = [("state", "=", "ALIVE")]
    try:
        actors = list_actors(
            address=address, detail=True, filters=alive, limit=MOST_ACTORS, raise_on_missing_output=False
        )
    except (RayStateApiException, OSError):
        return None
    counts: Counter[tuple[str, str]] = Counter()
    reserved: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for actor in actors:
        amounts = {name: amount for name, amount in (actor.required_resources or {}).items() if amount}
        if amounts:
            key = str(actor.job_id), str(actor.class_name)
            counts[key] += 1
            reserved[key].update(amounts)
    return [
        Holder(of == job, "this run" if of == job else f"job {of}", what, counts[of, what], amounts)
        for (of, what), amounts in reserved.items()
    ]
