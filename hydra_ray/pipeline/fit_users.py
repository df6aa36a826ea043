"""Heads of users on a frozen base: a Ray Data pipeline over buckets, published as one version of the head store.

A bucket's encodings are computed once and kept for later runs, its users are fitted as batched problems, its heads are
written as a part of the store, and its record says that it is done. A killed step goes on with the next bucket.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hydra_ray.config import Config
from hydra_ray.core.records import Split
from hydra_ray.models.heads import HeadKind
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.groups import Module, chunks, read_groups
from hydra_ray.pipeline.rows import buckets_of
from hydra_ray.store.head_store import HeadStore
from hydra_ray.store.spec import HeadSpec
from hydra_ray.train import solver
from hydra_ray.train.artifact import TrainedScorer, fingerprint
from hydra_ray.train.features import UserFeatures, features_of, load_features, save_features
from hydra_ray.train.groups import Group
from hydra_ray.train.solver import Fitted, Tuned
from hydra_ray.train.user_heads import FOLDER, new_store
from hydra_ray.train.user_rows import UserRows, pad_users

TUNING_USERS = 256
"""Training users that the pull of new heads is chosen on: their mean loss is then known to a few per cent."""

FITTED_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("bucket", pa.int32()),
        ("rows", pa.int32()),
        ("fingerprint", pa.string()),
        ("epoch", pa.int32()),
        ("kept_population", pa.bool_()),
        ("loss_before", pa.float32()),
        ("loss_after", pa.float32()),
    ]
)
"""What is known of every fitted user beside the head itself; the losses are on the user's own held-out rows."""


@dataclass(frozen=True)
class Fit:
    """One fit: whose heads, on which answers and which base. Pickles; every path is absolute.

    features: folder of the kept encodings. previous: an earlier fit on the same base, whose users with unchanged rows
    keep their heads, or None.
    """

    config: Config
    module: Module
    kind: HeadKind
    splits: tuple[Split, ...]
    answered: Path
    base: Path
    vectors: Path | None
    features: Path
    previous: Path | None

    def scorer(self) -> TrainedScorer:
        """The base, with a head of the kind that is fitted."""
        scorer = TrainedScorer.load(self.base, None, self.vectors)
        scorer.scorer.head.kind = self.kind
        return scorer

    def groups(self, bucket: int, splits: Sequence[Split]) -> Iterator[list[Group]]:
        """The groups of each user of a bucket."""
        for split in splits:
            yield from (g for g in read_groups(self.config, self.module, self.answered, [bucket], split) if g)

    def spec(self, scorer: TrainedScorer) -> HeadSpec:
        """What the heads are."""
        model, head = self.config.model, scorer.scorer.head
        shapes = head.delta_shapes()
        return HeadSpec(self.kind, model.width, model.rank, shapes, fingerprint(self.base), self.config.data.buckets)


def problem(users: Sequence[UserFeatures]) -> UserRows:
    """Users' features as one batched problem."""
    return pad_users([u.z for u in users], [u.label for u in users], [u.query for u in users])


def encode(scorer: TrainedScorer, users: Sequence[list[Group]]) -> list[UserFeatures]:
    """Features of users from their groups."""
    encodings = iter(scorer.pair_encodings([group for groups in users for group in groups]))
    return [features_of(groups, list(islice(encodings, len(groups)))) for groups in users]


class FitBuckets:
    """Ray Data's callable: fits the heads of all users of some buckets and leaves their parts and records in `out`."""

    def __init__(self, fit: Fit, tuned: Tuned, out: Path) -> None:
        self._fit, self._tuned, self._out = fit, tuned, out
        self._scorer = fit.scorer()
        self._store = HeadStore.open(str(out / FOLDER), expect=fit.spec(self._scorer))
        self._previous = HeadStore.open(str(fit.previous / FOLDER)) if fit.previous else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """batch: `buckets`, lists of bucket numbers. Small buckets are fitted together, up to `fit.batch_users`."""
        for buckets in batch["buckets"]:
            waiting: dict[int, list[UserFeatures]] = {}
            for bucket in map(int, buckets):
                waiting[bucket] = self._features(bucket)
                if sum(map(len, waiting.values())) >= self._fit.config.fit.batch_users:
                    self._finish(waiting)
                    waiting = {}
            self._finish(waiting)
        return {"buckets": np.asarray([len(buckets) for buckets in batch["buckets"]])}

    def _features(self, bucket: int) -> list[UserFeatures]:
        """One bucket's features, encoded or as an earlier run kept them."""
        file = self._fit.features / f"bucket-{bucket:06d}.arrow"
        if not file.exists():
            users = encode(self._scorer, list(self._fit.groups(bucket, self._fit.splits)))
            save_features(users, self._scorer.scorer.head.width, file)
        return load_features(file)

    def _finish(self, waiting: dict[int, list[UserFeatures]]) -> None:
        """Fits the users of these buckets, writes their parts and then their records."""
        users = [user for bucket in waiting.values() for user in bucket]
        size = self._fit.config.fit.batch_users
        slices = [users[i : i + size] for i in range(0, len(users), size)]
        parts = [self._solve(part) for part in slices]
        start = 0
        for bucket, own in waiting.items():
            save_bucket(self._store, bucket, own, [p.of(i) for i in range(start, start + len(own))], self._out)
            start += len(own)

    def _solve(self, users: Sequence[UserFeatures]) -> Fitted:
        config, head = self._fit.config, self._scorer.scorer.head
        return solver.solve(head, problem(users), self._tuned, config.fit, config.train.loss)
