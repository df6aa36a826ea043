"""What every worker of a joint training is given."""

from dataclasses import dataclass, field
from pathlib import Path

from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.training.joint.file_tail import PROGRESS


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One joint training. Pickles; every path is absolute, on storage that all workers see.

    Attributes:
        model: What is trained; each of `kinds` takes the place of its `head`.
        train: How.
        kinds: Head kinds, trained one after the other on the same ranking examples.
        ranking_examples: Folder of the training users' ranking examples (Parquet).
        name: In progress lines and metrics.
        seed: Of initial weights, dropout and the order of the examples.
        symmetric: Whether both texts of a pair are of one kind (reranker).
        feature_width: Numbers per row besides its text (see `RankingExample`).
        scratch: Takes whatever the workers write. A training that was cut short and is found there goes on.
        embedding_store: Folder of the kept embeddings.
        profiles: Folder of the training users' profiles (Parquet), for `mixture`.
        plugins: Modules that every worker imports first.
        resources: How many workers, and what each reserves.
    """

    model: ModelConfig
    train: TrainConfig
    kinds: tuple[str, ...]
    ranking_examples: Path
    name: str
    seed: int
    symmetric: bool
    feature_width: int
    scratch: Path
    embedding_store: Path | None = None
    profiles: Path | None = None
    plugins: tuple[str, ...] = ()
    resources: TrainResources = field(default_factory=TrainResources)

    @property
    def progress(self) -> Path:
        """File that takes rank 0's lines."""
        return self.scratch / PROGRESS

    @property
    def metrics(self) -> Path:
        """Folder of the metrics."""
        return self.scratch / "metrics"

    @property
    def centres(self) -> Path:
        """File of the concepts' first centres, for `concepts`."""
        return self.scratch / "centres.safetensors"

    def result(self, kind: str) -> Path:
        """Folder that takes what was learned with heads of a kind."""
        return self.scratch / "parts" / kind
