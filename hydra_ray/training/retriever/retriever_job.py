"""What every worker of a retriever's training is given, and how far it has come."""

from dataclasses import dataclass, field
from pathlib import Path

from hydra_ray.config import ModelConfig, RopgConfig, TrainConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.config.retriever_training import Goal


@dataclass(frozen=True, slots=True)
class RetrieverJob:
    """One training of a retriever. Pickles; every path is absolute, on storage that all workers see.

    Attributes:
        model: The encoder that the retriever starts from.
        ropg: How it is trained.
        train: ZeRO stage, offload, weight decay, micro-batches, checkpointing of activations, failures allowed.
        goal: Distillation or policy gradient.
        lists: File of the rewarded lists (`hydra_ray.training.retriever.lists`).
        name: In progress lines.
        seed: Of draws and of the order of the lists.
        scratch: Takes whatever the workers write.
        embedding_store: Folder of the kept embeddings.
        plugins: Modules that every worker imports first.
        resources: How many workers, and what each reserves.
    """

    model: ModelConfig
    ropg: RopgConfig
    train: TrainConfig
    goal: Goal
    lists: Path
    name: str
    seed: int
    scratch: Path
    embedding_store: Path | None = None
    plugins: tuple[str, ...] = ()
    resources: TrainResources = field(default_factory=TrainResources)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Of the teacher, each of which is tried; the policy gradient has no teacher."""
        return self.ropg.teacher_temperatures if self.goal == "kd" else (1.0,)

    @property
    def result(self) -> Path:
        """Folder that takes what was learned."""
        return self.scratch / "result"
