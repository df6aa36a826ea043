"""The section `resources`: how many workers of each kind there are and what each of them reserves on its node. Pure.

A node's resources are a mapping as Ray names them: `CPU`, `GPU`, `accelerator_type:H100`, custom names.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hydra_ray.config.section import Section

NodeResources = Mapping[str, float]
AUTO = "auto"
HINT = 0.001
"""What Ray reserves of `accelerator_type:NAME`, of which each node with that accelerator has 1."""
_BUILT_IN = {"CPU": "num_cpus", "GPU": "num_gpus"}


class Placement(Section):
    """What one worker reserves on its node."""

    num_cpus: float = Field(
        default=1.0,
        ge=0,
        description="CPUs of each worker, and its threads where it computes on the CPU; 0 reserves none.",
    )
    num_gpus: float = Field(
        default=0.0,
        ge=0,
        description="GPUs of each worker: 0 (it computes on the CPU), a fraction such as 0.25 (four workers share a "
        "GPU), or whole ones.",
    )
    accelerator_type: str | None = Field(
        default=None,
        description="Ray's name of a GPU type, such as `H100`, if only that one will do.",
    )
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={},
        description="Further resources of each worker, by the names that `ray start --resources` gave them.",
    )

    @model_validator(mode="after")
    def _schedulable(self) -> "Placement":
        if self.num_gpus > 1 and not float(self.num_gpus).is_integer():
            raise ValueError(f"num_gpus: {self.num_gpus:g} is neither a share of one GPU nor a number of whole ones")
        if self.accelerator_type is not None and not self.num_gpus:
            raise ValueError(f"accelerator_type: {self.accelerator_type} needs num_gpus above 0")
        for name in self.resources:
            if name in _BUILT_IN:
                raise ValueError(f"resources: {name} is not a custom resource; set {_BUILT_IN[name]}")
        return self


class WorkerResources(Placement):
    """Workers of one kind."""

    num_workers: Annotated[int, Field(ge=1)] | tuple[int, int] | Literal["auto"] = Field(
        default=1,
        description="How many workers: a number, a range `[fewest, most]` between which Ray scales, or `auto` (as many "
        "as the cluster has room for).",
    )

    @field_validator("num_workers", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        """One message for the three forms."""
        numbers = list(value) if isinstance(value, list | tuple) else [value]
        whole = all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in numbers)
        if value == AUTO or (whole and len(numbers) == 1 and not isinstance(value, list | tuple)):
            return value
        if whole and len(numbers) == 2 and numbers[0] <= numbers[1]:
            return tuple(numbers)
        raise ValueError(f"must be a number of at least 1, a range [fewest, most] or `auto`, this is {value!r}")

    @model_validator(mode="after")
    def _countable(self) -> "WorkerResources":
        if self.num_workers == AUTO and not self.num_cpus and not self.num_gpus and not self.resources:
            raise ValueError("num_workers: auto needs num_cpus, num_gpus or resources to count by")
        return self

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Fewest and most; None for `auto`."""
        if isinstance(self.num_workers, int):
            return self.num_workers, self.num_workers
        return None if isinstance(self.num_workers, str) else self.num_workers

    @property
    def fewest(self) -> int:
        """The workers that must be there for the work to begin."""
        return self.bounds[0] if self.bounds else 1


class EncodeResources(WorkerResources):
    """Ray Data's actors that embed texts."""

    compile: bool = Field(
        default=False,
        description="Compile the encoder on each worker's GPU first (`torch.compile`), which delays the worker's first "
        "texts; `hydra-ray bench cuda` measures encoding both ways.",
    )

    @model_validator(mode="after")
    def _compiled_on_gpus(self) -> "EncodeResources":
        if self.compile and not self.num_gpus:
            raise ValueError("compile: true needs num_gpus above 0; on a CPU the encoder runs through oneDNN")
        return self


class TrainResources(WorkerResources):
    """Ray Train's workers. With a range, training is elastic: it starts with what there is room for, and grows."""

    num_workers: Annotated[int, Field(ge=1)] | tuple[int, int] | Literal["auto"] = Field(
        default=2,
        description="How many workers: a number, a range `[fewest, most]` (elastic) or `auto` (elastic, up to what the "
        "cluster has room for). Another number draws other dropout; without dropout the result is the same.",
    )


class AskResources(WorkerResources):
    """Ray Data's actors that send prompts to the LLM. They wait more than they compute, unless they hold the LLM
    themselves (`llm.serve.engine: transformers`)."""

    num_cpus: float = Field(default=0.0, ge=0, description="CPUs of each worker; 0 reserves none.")


class LLMResources(WorkerResources):
    """Replicas of the model that `llm.serve` describes. Ray Serve scales a range on ongoing requests."""

    num_cpus: float = Field(default=0.0, ge=0, description="CPUs of each replica; 0 reserves none.")
    num_gpus: float = Field(
        default=0.0,
        ge=0,
        description="GPUs of each replica: 0 (it runs on the CPU), a fraction of one, or several that the model is "
        "spread over (tensor parallelism).",
    )

    @property
    def is_direct(self) -> bool:
        """Whether the one replica answers on a port of its own instead of through Ray Serve's HTTP proxy."""
        return not self.num_gpus and self.bounds == (1, 1)


class ResourcesConfig(Section):
    """How many workers of each kind, and what each reserves: the one place that says where the work runs.

    Changing it repeats no finished step.
    """

    encode: EncodeResources = Field(default=EncodeResources(), description="Ray Data's actors that embed texts.")
    train: TrainResources = Field(default=TrainResources(), description="Joint training.")
    fit: WorkerResources = Field(default=WorkerResources(), description="Ray Data's actors that fit new users' heads.")
    score: WorkerResources = Field(
        default=WorkerResources(),
        description="Ray Data's actors that retrieve, rerank and make prompts and training rows.",
    )
    ask: AskResources = Field(default=AskResources(), description="Ray Data's actors that call the LLM.")
    llm: LLMResources = Field(default=LLMResources(), description="Replicas of a served LLM.")
    few_in_driver: bool = Field(
        default=True,
        description="Whether the run's own process does what is less work than workers take to start: the prompts "
        "and the heads of at most 200 users, at most 2,000 requests to an LLM server, the choice of the answers of at "
        "most 2,000 questions and the embeddings of at most 10,000 texts. Workers that reserve a GPU or a further "
        "resource do all of theirs; so do those that score or fit with an encoder that reads pairs or is trained. "
        "`false`: all of it is done on workers.",
    )

    def in_driver(self, wanted: Placement) -> bool:
        """Whether the run's own process does little work of workers of a kind."""
        return self.few_in_driver and not wanted.num_gpus and not wanted.resources


def ray_options(wanted: Placement) -> dict[str, Any]:
    """The options of a Ray task, actor, Ray Data actor pool or Serve replica that reserve what a worker needs."""
    options: dict[str, Any] = {"num_cpus": wanted.num_cpus}
    if wanted.num_gpus:
        options["num_gpus"] = wanted.num_gpus
    if wanted.accelerator_type is not None:
        options["accelerator_type"] = wanted.accelerator_type
    if wanted.resources:
        options["resources"] = dict(wanted.resources)
    return options


def reserved(wanted: Placement) -> dict[str, float]:
    """The same as a node names its resources; nothing that is zero."""
    options = ray_options(wanted)
    found = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0.0), **options.get("resources", {})}
    if "accelerator_type" in options:
        found[f"accelerator_type:{options['accelerator_type']}"] = HINT
    return {name: amount for name, amount in found.items() if amount}


def fitting(wanted: Placement, node: NodeResources) -> int:
    """How many workers an empty node has room for. wanted: reserves something."""
    room = [node.get(name, 0.0) / amount for name, amount in reserved(wanted).items() if amount != HINT]
    there = all(node.get(name, 0.0) >= amount for name, amount in reserved(wanted).items())
    # Ray counts in ten-thousandths: 1 / 0.1 is ten workers.
    return math.floor(min(room) + 1e-4) if there else 0


def worker_range(wanted: WorkerResources, nodes: Callable[[], Iterable[NodeResources]]) -> tuple[int, int]:
    """Fewest and most workers. `auto`: from one to what the nodes have room for, less one on CPUs, as what the workers
    read and write needs a CPU too. nodes: called for `auto` alone."""
    if wanted.bounds is not None:
        return wanted.bounds
    room = sum(fitting(wanted, node) for node in nodes())
    return 1, max(1, room if wanted.num_gpus else room - 1)


def train_scaling(wanted: WorkerResources, workers: tuple[int, int]) -> dict[str, Any]:
    """The arguments of Ray Train's ScalingConfig. workers: fewest and most, as `worker_range` gives them."""
    options = ray_options(wanted)
    accelerator = options.pop("accelerator_type", None)
    per_worker = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0.0), **options.get("resources", {})}
    fewest, most = workers
    return {
        "num_workers": most if fewest == most else workers,
        "use_gpu": wanted.num_gpus > 0,
        "resources_per_worker": {name: amount for name, amount in per_worker.items() if amount},
        **({"accelerator_type": accelerator} if accelerator else {}),
    }
