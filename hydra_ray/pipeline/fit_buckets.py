"""What the workers of a fit do: all users of some buckets, whose heads are left as parts of the store, with records."""

import math
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.mixture import MIXTURE
from hydra_ray.pipeline.fit_records import Previous, UserFit, write_record
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.artifacts.user_heads import FOLDER
from hydra_ray.training.user_fit import solver
from hydra_ray.training.user_fit.batch_sizes import BatchSizes
from hydra_ray.training.user_fit.features import (
    UserFeatures,
    empty_features,
    load_features,
    rounded,
    rows_of,
    save_features,
)
from hydra_ray.training.user_fit.padded_users import NonFiniteError
from hydra_ray.training.user_fit.profiles import Profile, profile_of
from hydra_ray.training.user_fit.solver import Tuned
from hydra_ray.utils.device import CPU, free_memory, halved_once, worker_device
from hydra_ray.utils.prefetch import prefetched

MOST_ON_DEVICE = 65_536
"""Users of a batch where memory alone would allow more: further ones do not make a device faster."""
ENCODING_SHARE = 0.3
"""Of a device's memory, for the pairs that are encoded while users are fitted."""
FEWER = "lower fit.batch_users or model.rank, or give each of resources.fit a larger num_gpus"


class Buckets:
    """Ray Data's callable: `work` on lists of buckets; nothing is loaded before the first."""

    def __init__(self, fit: FitSpec, tuned: Tuned, out: Path) -> None:
        self.fit, self.tuned, self.out = fit, tuned, out
        self.chosen = fit.by_bucket()

    @cached_property
    def device(self) -> torch.device:
        """What this worker computes on. Raises UserError where it was promised a GPU and has none."""
        return worker_device(self.fit.config.resources.fit.num_gpus)

    @cached_property
    def scorer(self) -> TrainedScorer:
        """The frozen base, on the worker's device."""
        return self.fit.scorer(self.device, self.budget(ENCODING_SHARE))

    def budget(self, share: float) -> int | None:
        """This share of what the worker may still fill on its device, in bytes; None on the CPU."""
        if self.device == CPU:
            return None
        return int(free_memory(self.device, self.fit.config.resources.fit.num_gpus) * share)

    @cached_property
    def store(self) -> HeadStore:
        """Takes the parts."""
        return HeadStore.open(str(self.out / FOLDER), expect=self.fit.spec(self.scorer))

    def work(self, buckets: Sequence[int]) -> int:
        """Finishes these buckets; returns their users."""
        raise NotImplementedError

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """batch: `buckets`, lists of bucket numbers. Returns users, `began` (seconds since the epoch) and `cpu_s` spent
        in this process. Raises UserError for what the user can mend; finished buckets stay."""
        began, worked, users = time.time(), time.process_time(), 0
        try:
            for buckets in batch["buckets"]:
                users += self.work([int(bucket) for bucket in buckets])
        except OSError as failure:
            raise UserError(
                f"{failure.filename or self.out}: {failure.strerror}; mend that and run again, finished buckets stay"
            ) from None
        row = {"users": users, "began": began, "cpu_s": time.process_time() - worked}
        return {name: np.asarray([value]) for name, value in row.items()}


class MixBuckets(Buckets):
    """For `mixture`: one forward pass of the router instead of a fit."""

    def work(self, buckets: Sequence[int]) -> int:
        """See Buckets."""
        users = 0
        for bucket in buckets:
            found = self.fit.histories(self.chosen[bucket])
            mixed = mixed_users(self.scorer, [profile_of(user, bucket) for user in found])
            write_record(self.store, bucket, mixed, self.out)
            users += len(mixed)
        return users


def mixed_users(scorer: TrainedScorer, profiles: Sequence[Profile]) -> list[UserFit]:
    """Users' mixtures from their records; a user without any keeps the shared head's."""
    if not profiles:
        return []
    weights = scorer.mix(profiles)
    return [
        UserFit.make(user.user_id, user.fingerprint(), len(user.texts), {MIXTURE: delta} if user.texts else None)
        for user, delta in zip(profiles, weights, strict=True)
    ]


class FitBuckets(Buckets):
    """For kinds that are fitted. Small buckets are fitted together, up to `fit.batch_users`."""

    @cached_property
    def previous(self) -> Previous | None:
        """The earlier fit that this one builds on."""
        return Previous(self.fit.previous, self.fit.spec(self.scorer)) if self.fit.previous else None

    @cached_property
    def sizes(self) -> BatchSizes:
        """How many users are fitted together."""
        head = self.scorer.scorer.head
        numbers = sum(math.prod(shape) for shape in head.delta_shapes().values())
        most, budget = self.fit.config.fit.batch_users, self.budget(1 - ENCODING_SHARE)
        return BatchSizes(most if budget is None else MOST_ON_DEVICE, budget, head.width, numbers)

    def work(self, buckets: Sequence[int]) -> int:
        """See Buckets. The next bucket's features are read, or made, while users are fitted."""
        users = 0
        waiting: dict[int, list[UserFeatures]] = {}
        _ = self.scorer, self.sizes  # loaded here, and not in two threads at once
        # The earlier fit is read by one thread at a time.
        loaded = ((b, self._features(b)) for b in buckets) if self.previous else prefetched(buckets, self._features)
        for bucket, features in loaded:
            waiting[bucket] = features
            users += len(features)
            if self.sizes.full([len(user.label) for found in waiting.values() for user in found]):
                self._finish(waiting)
                waiting = {}
        self._finish(waiting)
        return users

    def _features(self, bucket: int) -> list[UserFeatures]:
        """One bucket's features, encoded or as an earlier run kept them. Users whose rows are those of the earlier fit
        that this one builds on may come without."""
        file, width = self.fit.features / f"bucket-{bucket:06d}.arrow", self.scorer.scorer.head.width
        if self.previous and not file.exists():
            # Not kept: it is not the whole bucket.
            same = self.previous.fingerprints(bucket)
            found = [rounded(user) for user in self.fit.encoded(self.scorer, bucket, same)]
        else:
            if not file.exists():
                save_features(self.fit.encoded(self.scorer, bucket), width, file)
            found = load_features(file)
        known = {user.user_id for user in found}
        # Users without any rows are counted, too.
        return found + [empty_features(user, width) for user in self.chosen[bucket] if user not in known]

    def _finish(self, waiting: dict[int, list[UserFeatures]]) -> None:
        """Fits the users of these buckets, writes their parts and then their records."""
        found: dict[str, UserFit] = {}
        for bucket, users in waiting.items():
            if self.previous:
                found |= self.previous.unchanged(bucket, users)
        changed = [user for users in waiting.values() for user in users if user.user_id not in found]
        for part in self.sizes.cut([len(user.label) for user in changed]):
            found |= self._solve(changed[part])
        for bucket, users in waiting.items():
            write_record(self.store, bucket, [found[user.user_id] for user in users], self.out)

    def _solve(self, users: Sequence[UserFeatures]) -> dict[str, UserFit]:
        def solve(part: Sequence[UserFeatures]) -> list[UserFit]:
            start = self.previous.deltas([user.user_id for user in part]) if self.previous else None
            head = self.fit.head(self.scorer)
            return solved_users(
                head, self.fit.config, self.tuned, part, start, component=self.fit.component, device=self.device
            )

        found = halved_once(solve, users, self.device, FEWER)
        return {user.user_id: fit for user, fit in zip(users, found, strict=True)}


def solved_users(
    head: Head,
    config: Config,
    tuned: Tuned,
    users: Sequence[UserFeatures],
    start: Deltas | None = None,
    *,
    component: Component,
    device: torch.device = CPU,
) -> list[UserFit]:
    """Users' heads of a component from their features, all at once; see `solver.solve_heads`. An adapter's head must
    show a gain. device: where the shared head is, and the users are fitted. Raises UserError, which names the user."""
    gain = component == "adapter"
    try:
        rows = rows_of(users).to(device)
        start = {name: value.to(device) for name, value in start.items()} if start else None
        fitted = solver.solve_heads(head, rows, tuned, config.fit, config.train.loss, start, needs_gain=gain).to(CPU)
    except NonFiniteError as error:
        raise UserError(error.of(f"user {users[error.place].user_id!r}")) from None
    return [UserFit.of(user, fitted, i) for i, user in enumerate(users)]
