"""Ranking examples: one query of one user with the candidates to be scored for it, their labels and features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from hydra_ray.models.scorer import PairBatch

RANKING_EXAMPLE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("bucket", pa.int32()),
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("candidates", pa.list_(pa.string())),
        ("label", pa.list_(pa.float32())),
        ("features", pa.list_(pa.list_(pa.float32()))),
    ]
)
"""Parquet schema of ranking examples: `candidates[i]` has `label[i]` in {0, 1}, or null where there is none (a missing
answer), and `features[i]`, further numbers about it (none: an empty list)."""

_CHUNK = 4096
"""Rows that are taken out of Arrow at a time: as Python objects they need several times the room."""


@dataclass(frozen=True, slots=True)
class RankingExample:
    """One query with the texts to be ordered for it: retrieved items for the reranker, answers for the adapter.

    Attributes:
        label: Of each candidate: 1 good, 0 not, NaN none.
        features: Further numbers about each candidate; empty where none are read.
    """

    user_id: str
    bucket: int
    query_id: str
    query: str
    candidates: tuple[str, ...]
    label: tuple[float, ...]
    features: tuple[tuple[float, ...], ...] = ()

    @property
    def labelled(self) -> int:
        """Rows that have a label."""
        return sum(not np.isnan(x) for x in self.label)


def examples_to_table(examples: Sequence[RankingExample]) -> pa.Table:
    """Arrow table in RANKING_EXAMPLE_SCHEMA."""
    rows = [
        {
            "user_id": example.user_id,
            "bucket": example.bucket,
            "query_id": example.query_id,
            "query": example.query,
            "candidates": list(example.candidates),
            "label": [None if np.isnan(x) else float(x) for x in example.label],
            "features": [list(numbers) for numbers in example.features],
        }
        for example in examples
    ]
    return pa.Table.from_pylist(rows, schema=RANKING_EXAMPLE_SCHEMA)


def examples_from_table(table: pa.Table) -> list[RankingExample]:
    """The inverse of `examples_to_table`. A text, an id or a label that stands in many rows is one object in memory."""
    known: dict[str, str] = {}
    labels: dict[float | None, float] = {None: float("nan"), 0.0: 0.0, 1.0: 1.0}
    return [
        RankingExample(
            known.setdefault(row["user_id"], row["user_id"]),
            row["bucket"],
            row["query_id"],
            known.setdefault(row["query"], row["query"]),
            tuple([known.setdefault(text, text) for text in row["candidates"]]),
            tuple([labels.get(x, x) for x in row["label"]]),
            tuple(map(tuple, row["features"])),
        )
        for batch in table.to_batches(max_chunksize=_CHUNK)
        for row in batch.to_pylist()
    ]


class TextIndex:
    """Every distinct text of some ranking examples, numbered, so that each is encoded once."""

    def __init__(self, examples: Sequence[RankingExample]) -> None:
        self.index: dict[str, int] = {}
        for example in examples:
            for text in (example.query, *example.candidates):
                self.index.setdefault(text, len(self.index))
        self.texts = list(self.index)

    def batch(self, examples: Sequence[RankingExample], user_rows: Sequence[int]) -> PairBatch:
        """The padded batch of `examples`; `user_rows[i]` is the delta row of example i's user."""
        width = max((len(example.candidates) for example in examples), default=1)
        candidates = np.zeros((len(examples), max(1, width)), dtype=np.int64)
        label = np.zeros(candidates.shape, dtype=np.float32)
        mask = np.zeros(candidates.shape, dtype=np.float32)
        numbers = next((len(example.features[0]) for example in examples if example.features), 0)
        features = np.zeros((*candidates.shape, numbers), dtype=np.float32)
        for i, example in enumerate(examples):
            if example.features:
                features[i, : len(example.features)] = example.features
            for j, (text, y) in enumerate(zip(example.candidates, example.label, strict=True)):
                candidates[i, j] = self.index[text]
                if not np.isnan(y):
                    label[i, j], mask[i, j] = y, 1.0
        query = np.asarray([self.index[example.query] for example in examples], dtype=np.int64)
        return PairBatch(
            torch.from_numpy(query),
            torch.from_numpy(candidates),
            torch.from_numpy(label),
            torch.from_numpy(mask),
            torch.as_tensor(list(user_rows), dtype=torch.int64),
            torch.from_numpy(features),
        )
