"""What the parts of the serving bench share."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.bench.serve_hosts import Hosted
from hydra_ray.bench.serve_load import Seen
from hydra_ray.config import load_settings
from hydra_ray.serve.config import ServeConfig


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


def service_config(overrides: Sequence[str]) -> ServeConfig:
    """What `our_service` makes of them. Raises UserError for one that the service does not take."""
    return load_settings(ServeConfig, None, overrides, {"run": "of the benchmark"})


_SEEDS = itertools.count(1)


def seed() -> int:
    """Another one each time, so that no query of this process's loads comes twice."""
    return next(_SEEDS)


def all_well(seen: Seen, what: str) -> Seen:
    """What was seen. Raises RuntimeError unless every answer was whole: a figure of failures would mean nothing."""
    if seen.count(200, 200) != len(seen.status) or seen.degraded:
        raise RuntimeError(f"{what}: statuses {sorted(set(seen.status))}, degraded {seen.degraded}")
    return seen
