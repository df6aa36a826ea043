"""Waiting until Ray knows which nodes it has lost."""

import time

SETTLE_S = 90.0
"""Ray's own health checks need half a minute to find out, and a little over a minute where connections hang."""


def wait_until_settled(seconds: float = SETTLE_S) -> None:
    """Returns once every node that Ray takes to be alive has answered, or after so many seconds. Needs a running Ray.

    A node that went without taking leave counts as alive until it has missed Ray's health checks. Until then Ray gives
    it work, which fails, so that several attempts may be used up on one loss.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(_here)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        asked = [
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(one, soft=False)).remote() for one in alive
        ]
        answered, _ = ray.wait(asked, num_returns=len(asked), timeout=left)
        if len(answered) == len(asked) and all(_is_there(answer) for answer in answered):
            return
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))


def _here() -> bool:
    return True


def _is_there(answer: object) -> bool:
    import ray
    from ray.exceptions import RayError

    try:
        return bool(ray.get(answer))
    except RayError:
        return False
