"""What a stage needs of a cluster at the same time; with less it would wait for ever."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hydra_ray.config import Config
from hydra_ray.config.resources import NodeResources, Placement, WorkerResources, fitting, reserved

EVERY_S = 30.0
ACCELERATOR = "accelerator_type:"
ASKING = ("run", "label", "train-reranker", "generate", "train-adapter", "fit-users", "evaluate", "report")
TRAINING = tuple(stage for stage in ASKING if stage != "label")


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be there at the same time.

    Attributes:
        totals: Resource -> how much all nodes together must have, and the keys that decide.
        workers: Section of the config -> what one of its workers reserves: some node must have all of it.
    """

    totals: Mapping[str, tuple[float, str]]
    workers: Mapping[str, Placement]

    @property
    def required(self) -> dict[str, float]:
        """Resource -> how much of it all nodes together must have."""
        return {name: amount for name, (amount, _) in self.totals.items()}

    def lacking(self, there: NodeResources) -> str:
        """What a cluster with these resources in all (as `ray.cluster_resources` names them) lacks; "" if nothing."""
        lines = [
            f"{amount:g} {_named(name)} are needed ({why}), available: {there.get(name, 0):g}"
            for name, (amount, why) in self.totals.items()
            if there.get(name, 0) < amount
        ]
        return "; ".join(lines)

    def impossible(self, nodes: Sequence[NodeResources]) -> str:
        """Which workers no node has room for, however many nodes there are; "" if there is room for each."""
        lines = [
            f"a worker of {section} needs {_listed(reserved(wanted))}, and no node has that"
            for section, wanted in self.workers.items()
            if reserved(wanted) and not any(fitting(wanted, node) for node in nodes)
        ]
        if not lines:
            return ""
        asked = {name for wanted in self.workers.values() for name in ("CPU", *reserved(wanted))}
        known = sorted({_listed(_comparable(node, asked)) for node in nodes})
        return f"{'; '.join(lines)}; the nodes have: {' | '.join(known) or 'nothing'}"


def needs_of(stage: str, config: Config) -> Needs:
    """What a stage needs, with all that may have to be done before it."""
    wanted = config.resources
    phases: list[tuple[dict[str, float], str]] = [({"CPU": 1.0}, "to read the data")]
    workers: dict[str, Placement] = {}

    def work(section: str, kind: WorkerResources, extra: float) -> None:
        """extra: CPUs for reading and writing what the workers work on."""
        count = kind.fewest
        amounts = {name: count * amount for name, amount in reserved(kind).items()}
        if amounts:
            amounts["CPU"] = amounts.get("CPU", 0.0) + extra
            why = f"resources.{section}.num_workers={count}" + (" and one more" if extra else "")
            phases.append((amounts, why))
            workers[f"resources.{section}"] = kind

    if stage in ASKING:
        work("score", wanted.score, 1.0)
        work("ask", wanted.ask, 1.0)
        work("encode", wanted.encode, 1.0)
    if stage in TRAINING:
        work("train", wanted.train, 0.0)
        work("fit", wanted.fit, 1.0)
    totals: dict[str, tuple[float, str]] = {}
    for amounts, why in phases:
        for name, amount in amounts.items():
            if amount > totals.get(name, (0.0, ""))[0]:
                totals[name] = amount, why
    if stage in ASKING and config.llm.base_url is None and not config.llm.in_process:
        # The served model stays while everything else is done.
        workers["resources.llm"] = wanted.llm
        for name, amount in reserved(wanted.llm).items():
            before, why = totals.get(name, (0.0, ""))
            totals[name] = before + amount * wanted.llm.fewest, f"{why}, resources.llm" if why else "resources.llm"
    return Needs(totals, workers)


def _named(resource: str) -> str:
    return f"{resource}s" if resource in ("CPU", "GPU") else resource


def _comparable(node: NodeResources, asked: set[str]) -> NodeResources:
    """Of a node's resources, those that are asked for, and which accelerators it has where that matters."""
    typed = any(name.startswith(ACCELERATOR) for name in asked)
    return {name: node[name] for name in sorted(node) if name in asked or (typed and name.startswith(ACCELERATOR))}


def _listed(amounts: NodeResources) -> str:
    parts = [
        f"an {name.removeprefix(ACCELERATOR)}" if name.startswith(ACCELERATOR) else f"{amount:g} {name}"
        for name, amount in amounts.items()
    ]
    return ", ".join(parts) or "nothing of them"


class Waiting:
    """A line at once and every EVERY_S seconds (see `PeriodicTask`) while a cluster that may still grow lacks
    something.

    there: the cluster's resources now. log: takes the lines.
    """

    def __init__(self, needs: Needs, there: Callable[[], Mapping[str, float]], log: Callable[[str], None]) -> None:
        self._needs, self._there, self._log = needs, there, log
        self.over = False

    def __call__(self) -> None:
        """Says what is lacking, and once that nothing is any more."""
        if self.over:
            return
        lacking = self._needs.lacking(self._there())
        self.over = not lacking
        self._log(f"ray: waiting for resources: {lacking}" if lacking else "ray: the resources are there")
