"""What one training worker reads: its own users' examples and their texts, and how large all workers' are."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import torch
from numpy.typing import NDArray
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.models.sentence_embeddings import embeddings_shape, padded_embeddings
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.joint.embedding_file import MEMORY_SHARE, EmbeddingFile, read_all
from hydra_ray.training.joint.plan import Step, assign_buckets, imbalance, plan_epoch
from hydra_ray.training.joint.ranking_examples import RankingExample, TextIndex, examples_from_table

FLOAT32 = 4
"""Bytes."""


def labelled_rows(label: Any) -> NDArray[np.int64]:
    """How many of each example's labels are not null; label: Arrow list array of floats."""
    before = np.concatenate([[0], np.cumsum(label.values.is_valid().to_numpy(zero_copy_only=False))])
    offsets = label.offsets.to_numpy()
    rows: NDArray[np.int64] = before[offsets[1:]] - before[offsets[:-1]]
    return rows


class WorkerShard:
    """The ranking examples of the buckets that `rank` of `world` workers owns.

    The plan needs every example's bucket and size; texts are read for this worker's own users alone. Examples are
    counted user by user, so that the plan does not depend on how many actors wrote which of them into which file.
    """

    def __init__(self, examples: Path, rank: int, world: int) -> None:
        """examples: folder with Parquet files of RANKING_EXAMPLE_SCHEMA."""
        self.world = world
        source = pads.dataset(examples, format="parquet")
        index = source.to_table(columns=["user_id", "bucket", "label"])
        places = pc.sort_indices(index, sort_keys=[("user_id", "ascending")])
        index = index.take(places)
        self.buckets: list[int] = index.column("bucket").to_pylist()
        self.rows = labelled_rows(index.column("label").combine_chunks()).tolist()
        self.owner = assign_buckets(self.buckets, self.rows, world)
        mine = [i for i, bucket in enumerate(self.buckets) if self.owner[bucket] == rank]
        read = examples_from_table(source.take(places.take(pa.array(mine, pa.int64()))))
        self.examples: dict[int, RankingExample] = dict(zip(mine, read, strict=True))
        self.texts = TextIndex(list(self.examples.values()))

    def users(self) -> dict[str, int]:
        """This worker's users and their buckets."""
        return {example.user_id: example.bucket for example in self.examples.values()}

    def imbalance(self) -> float:
        """See `plan.imbalance`."""
        return imbalance(self.buckets, self.rows, self.owner)

    def plan(self, batch_rows: int, seed: int, epoch: int) -> list[Step]:
        """See `plan_epoch`; the same on every worker."""
        return plan_epoch(self.buckets, self.rows, self.owner, self.world, batch_rows, seed, epoch)

    def inputs(
        self,
        model: ModelConfig,
        embedding_store: Path | None,
        device: torch.device,
        free: int,
        log: Callable[[str], Any],
    ) -> list[str] | Tensor | EmbeddingFile:
        """What the scorer reads: the texts, or their embeddings [T, ...] where the encoder is frozen.

        free: bytes that this worker may still fill on its device; embeddings that would take too large a share of them
        come in a file.
        """
        texts = self.texts.texts or [""]
        if model.encoder_in_scorer:
            return texts
        log(f"reading the embeddings of {len(texts)} texts")
        encode = text_embeddings(model, embedding_store, device)
        shape = embeddings_shape(texts, encode, model)
        parts = read_all(texts, lambda some: padded_embeddings(encode, some, model, shape))
        if math.prod(shape) * FLOAT32 > MEMORY_SHARE * free:
            file = EmbeddingFile(shape, np.float16 if embedding_store else np.float32)
            for start, part in parts:
                file.write(start, part.numpy())
            return file
        table = torch.zeros(shape, device=device)
        for start, part in parts:
            table[start : start + len(part)] = part.to(device)
        return table
