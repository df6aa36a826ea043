"""The CPUs and GPUs that a stage needs at the same time; with fewer it would wait for ever."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hydra_ray.config import Config

EVERY_S = 30.0
ASKING = ("run", "label", "train-reranker", "generate", "train-adapter", "fit-users", "evaluate", "report")
TRAINING = tuple(stage for stage in ASKING if stage != "label")


@dataclass(frozen=True, slots=True)
class Needs:
    """cpus, gpus: at the same time. cpus_for, gpus_for: the keys that decide, for a message."""

    cpus: int
    cpus_for: str
    gpus: int = 0
    gpus_for: str = ""

    def lacking(self, there: Mapping[str, float]) -> str:
        """What a cluster with these resources (as `ray.cluster_resources` names them) lacks; "" if it is enough."""
        lines = [
            f"{need} {kind}s are needed ({why}), available: {there.get(kind, 0):g}"
            for kind, need, why in (("CPU", self.cpus, self.cpus_for), ("GPU", self.gpus, self.gpus_for))
            if there.get(kind, 0) < need
        ]
        return "; ".join(lines)


def needs_of(stage: str, config: Config) -> Needs:
    """What a stage needs, with all that may have to be done before it."""
    demands = [(1, "to read the data")]
    gpus: list[tuple[int, str]] = []
    if stage in ASKING:
        actors = config.ray.num_actors
        # Each actor holds a CPU, and what they work on is read and written next to them.
        demands.append((actors + 1, f"ray.num_actors={actors} and one more"))
        serve = config.llm.serve
        if config.llm.base_url is None and serve.accelerator == "gpu":
            gpus.append((serve.replicas[0] * serve.tensor_parallel_size, "llm.serve"))
    if stage in TRAINING:
        key = "train.min_workers" if config.train.min_workers else "train.num_workers"
        workers = config.train.min_workers or config.train.num_workers
        if config.train.gpu:
            gpus.append((workers, f"{key}={workers}"))
        else:
            demands.append((workers, f"{key}={workers}"))
    cpus, why = max(demands)
    return Needs(cpus, why, sum(count for count, _ in gpus), ", ".join(name for _, name in gpus))


class Waiting:
    """A line at once and every EVERY_S seconds (see `PeriodicTask`) while a cluster that may still grow lacks
    something.

    there: the cluster's resources now. log: takes the lines.
    """

    def __init__(self, needs: Needs, there: Callable[[], Mapping[str, float]], log: Callable[[str], None]) -> None:
        self._needs, self._there, self._log = needs, there, log
        self.over = False

    def stop(self) -> None:
        """Logs nothing more."""
        self.over = True

    def __call__(self) -> None:
        """Says what is lacking, and once that nothing is any more."""
        if self.over:
            return
        lacking = self._needs.lacking(self._there())
        self.over = not lacking
        self._log(f"ray: waiting for resources: {lacking}" if lacking else "ray: the resources are there")
