"""What the parts of the serving bench share."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.bench.serve_hosts import Hosted
from hydra_ray.bench.serve_load import Seen


@dataclass(frozen=True)
class Site:
    """A run, its service and the black box. users: of the run. seconds: of the longest measurement."""

    folder: Path
    run: Path
    llm_url: str
    ours: Hosted
    users: int
    seconds: float

    @property
    def short_s(self) -> float:
        """Seconds of one of many measurements."""
        return self.seconds / 6


_SEEDS = itertools.count(1)


def seed() -> int:
    """Another one each time, so that no query of this process's loads comes twice."""
    return next(_SEEDS)


def all_well(seen: Seen, what: str) -> Seen:
    """What was seen. Raises RuntimeError unless every answer was whole: a figure of failures would mean nothing."""
    if seen.count(200, 200) != len(seen.status) or seen.degraded:
        raise RuntimeError(f"{what}: statuses {sorted(set(seen.status))}, degraded {seen.degraded}")
    return seen
