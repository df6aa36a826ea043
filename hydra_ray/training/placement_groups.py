"""The placement groups of a training whose controller went with its node: Ray 2.60 may keep what they reserve."""


def placement_groups() -> set[str]:
    """The ids of those that this job holds or waits for. Needs a running Ray."""
    import ray
    from ray.util import placement_group_table

    job = ray.get_runtime_context().get_job_id()
    return {one for one, about in placement_group_table().items() if _is_held(one, about["state"], job)}


def remove_placement_groups(ids: set[str]) -> None:
    """Gives back what they reserve, for the next attempt. ids: as `placement_groups` gives them."""
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    for one in ids:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(one))))


def _is_held(one: str, state: str, job: str) -> bool:
    """Whether a group is of the job, whose id is the end of its own, and was not removed."""
    return one.endswith(job) and state != "REMOVED"
