"""Training data as groups: one query of one user and the rows to score for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from hydra_ray.models.scorer import PairBatch

GROUP_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("bucket", pa.int32()),
        ("query_id", pa.string()),
        ("left", pa.string()),
        ("right", pa.list_(pa.string())),
        ("label", pa.list_(pa.float32())),
        ("evidence", pa.list_(pa.list_(pa.float32()))),
    ]
)
"""Parquet schema of groups: `right[i]` has `label[i]` in {0, 1}, or null where there is none (a missing answer), and
`evidence[i]`, further numbers that speak for it (none: an empty list)."""


@dataclass(frozen=True, slots=True)
class RankingExample:
    """One query: its text `left`, the rows' texts `right`, their labels (NaN: none) and their evidence, if any."""

    user_id: str
    bucket: int
    query_id: str
    left: str
    right: tuple[str, ...]
    label: tuple[float, ...]
    evidence: tuple[tuple[float, ...], ...] = ()

    @property
    def labelled(self) -> int:
        """Rows that have a label."""
        return sum(not np.isnan(x) for x in self.label)


def examples_to_table(groups: Sequence[RankingExample]) -> pa.Table:
    """Arrow table in GROUP_SCHEMA."""
    rows = [
        {
            "user_id": g.user_id,
            "bucket": g.bucket,
            "query_id": g.query_id,
            "left": g.left,
            "right": list(g.right),
            "label": [None if np.isnan(x) else float(x) for x in g.label],
            "evidence": [list(numbers) for numbers in g.evidence],
        }
        for g in groups
    ]
    return pa.Table.from_pylist(rows, schema=GROUP_SCHEMA)


def examples_from_table(table: pa.Table) -> list[RankingExample]:
    """The inverse of `examples_to_table`."""
    return [
        RankingExample(
            row["user_id"],
            row["bucket"],
            row["query_id"],
            row["left"],
            tuple(row["right"]),
            tuple(float("nan") if x is None else x for x in row["label"]),
            tuple(map(tuple, row["evidence"])),
        )
        for row in table.to_pylist()
    ]


class TextIndex:
    """Every distinct text of some groups, numbered, so that each is encoded once."""

    def __init__(self, groups: Sequence[RankingExample]) -> None:
        self.index: dict[str, int] = {}
        for group in groups:
            for text in (group.left, *group.right):
                self.index.setdefault(text, len(self.index))
        self.texts = list(self.index)

    def batch(self, groups: Sequence[RankingExample], user_rows: Sequence[int]) -> PairBatch:
        """The padded batch of `groups`; `user_rows[i]` is the delta row of group i's user."""
        width = max((len(g.right) for g in groups), default=1)
        right = np.zeros((len(groups), max(1, width)), dtype=np.int64)
        label = np.zeros(right.shape, dtype=np.float32)
        mask = np.zeros(right.shape, dtype=np.float32)
        numbers = next((len(g.evidence[0]) for g in groups if g.evidence), 0)
        evidence = np.zeros((*right.shape, numbers), dtype=np.float32)
        for i, group in enumerate(groups):
            if group.evidence:
                evidence[i, : len(group.evidence)] = group.evidence
            for j, (text, y) in enumerate(zip(group.right, group.label, strict=True)):
                right[i, j] = self.index[text]
                if not np.isnan(y):
                    label[i, j], mask[i, j] = y, 1.0
        left = np.asarray([self.index[g.left] for g in groups], dtype=np.int64)
        return PairBatch(
            torch.from_numpy(left),
            torch.from_numpy(right),
            torch.from_numpy(label),
            torch.from_numpy(mask),
            torch.as_tensor(list(user_rows), dtype=torch.int64),
            torch.from_numpy(evidence),
        )
