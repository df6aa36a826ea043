"""What every worker of a fine-tuning is given: the job, and the rows that all of them read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import TrainConfig
from hydra_ray.config.finetune import FinetuneConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.training.user_lora.rows import TokenRow

SCHEMA = pa.schema([("ids", pa.list_(pa.int32())), ("prompt", pa.int32()), ("held_out", pa.bool_())])


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """One fine-tuning. Pickles; every path is absolute, on storage that all workers see.

    Attributes:
        base: Folder of the LM.
        rows: File of the rows (`write_rows`).
        config: How it is trained.
        train: ZeRO stage, offload, micro-batches, recomputed activations, failures allowed.
        name: In progress lines.
        seed: Of the order of the rows.
        scratch: Takes whatever the workers write.
        resources: How many workers, and what each reserves.
    """

    base: Path
    rows: Path
    config: FinetuneConfig
    train: TrainConfig
    name: str
    seed: int
    scratch: Path
    resources: TrainResources = field(default_factory=TrainResources)

    @property
    def result(self) -> Path:
        """Folder that takes what was learned."""
        return self.scratch / "result"

    def engine(self, workers: int) -> TrainConfig:
        """`train` as `make_engine` takes it, with this training's rate, of an encoder too. workers: how many train."""
        stage, lr = self.train.stage(encoder_trained=True, workers=workers), self.config.lr
        rates = {"base_lr": lr, "encoder_lr": lr, "weight_decay": self.config.weight_decay, "zero_stage": stage}
        return self.train.model_copy(update=rates)


@dataclass(frozen=True, slots=True)
class FinetuneRows:
    """What is learned, and what chooses the epoch; no user's rows are in both."""

    learned: tuple[TokenRow, ...]
    held_out: tuple[TokenRow, ...] = ()


def write_rows(rows: FinetuneRows, file: Path) -> None:
    """Writes both parts into one Parquet file."""
    every: Sequence[tuple[TokenRow, bool]] = [
        *((row, False) for row in rows.learned),
        *((row, True) for row in rows.held_out),
    ]
    found = [{"ids": row.ids, "prompt": row.prompt, "held_out": held_out} for row, held_out in every]
    pq.write_table(pa.Table.from_pylist(found, SCHEMA), file, compression="zstd")


def read_rows(file: Path) -> FinetuneRows:
    """The inverse of `write_rows`."""
    parts: tuple[list[TokenRow], list[TokenRow]] = ([], [])
    for row in pq.read_table(file).to_pylist():
        parts[row["held_out"]].append(TokenRow(tuple(row["ids"]), row["prompt"]))
    return FinetuneRows(tuple(parts[0]), tuple(parts[1]))
