"""Heads of users on a frozen base: a Ray Data pipeline over buckets, published as one version of the head store.

A bucket's encodings are computed once and kept for later runs, its users are fitted as batched problems, its heads are
written as a part of the store, and its record says that it is done. A killed step goes on with the next bucket.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hydra_ray.config import Config
from hydra_ray.core.records import Split
from hydra_ray.data.users import read_users
from hydra_ray.models.facets import MIXTURE
from hydra_ray.models.heads import Head, HeadKind
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.fit_records import Previous, UserFit, count_fitted, record_file, write_record
from hydra_ray.pipeline.groups import Module, chunks, read_groups
from hydra_ray.pipeline.rows import buckets_of
from hydra_ray.store.head_store import HeadStore
from hydra_ray.store.spec import HeadSpec
from hydra_ray.train import solver
from hydra_ray.train.artifact import TrainedScorer, fingerprint
from hydra_ray.train.features import UserFeatures, features_of, load_features, save_features
from hydra_ray.train.groups import Group
from hydra_ray.train.profiles import Profile, profile_of
from hydra_ray.train.solver import Tuned
from hydra_ray.train.user_heads import FOLDER, new_store
from hydra_ray.train.user_rows import pad_users

TUNING_USERS = 256
"""Training users that the pull of new heads is chosen on: their mean loss is then known to a few per cent."""


@dataclass(frozen=True)
class Fit:
    """One fit: whose heads, on which answers and which base. Pickles; every path is absolute.

    users: the ingested histories. features: folder of the kept encodings. previous: an earlier fit on the same base,
    whose users with unchanged rows keep their heads, or None.
    """

    config: Config
    module: Module
    kind: HeadKind
    splits: tuple[Split, ...]
    answered: Path
    users: Path
    base: Path
    vectors: Path | None
    features: Path
    previous: Path | None

    def scorer(self) -> TrainedScorer:
        """The base, with a head of the kind that is fitted (`shrunk` is trained as `linear`)."""
        scorer = TrainedScorer.load(self.base, None, self.vectors)
        scorer.scorer.head.kind = self.kind
        return scorer

    def head(self, scorer: TrainedScorer) -> Head:
        """The population head that users' heads are fitted from."""
        head = scorer.scorer.head
        assert isinstance(head, Head)
        return head

    def buckets(self) -> list[int]:
        """The buckets that have users, ascending."""
        return buckets_of(self.answered)

    def encoded(self, scorer: TrainedScorer, bucket: int, splits: Sequence[Split]) -> list[UserFeatures]:
        """A bucket's users and their features, computed now. Whatever else a fit does works from these alone, so that
        a subclass may take them from elsewhere."""
        return encode(scorer, list(self.groups(bucket, splits)))

    def tuning_users(self, scorer: TrainedScorer) -> list[UserFeatures]:
        """Up to TUNING_USERS training users who have two queries or more."""
        # Bucket by bucket, so that no more is read than is used.
        found = (groups for bucket in self.buckets() for groups in self.groups(bucket, ("train",)))
        return encode(scorer, list(islice((groups for groups in found if len(groups) > 1), TUNING_USERS)))

    def groups(self, bucket: int, splits: Sequence[Split]) -> Iterator[list[Group]]:
        """The groups of each user of a bucket."""
        for split in splits:
            yield from (g for g in read_groups(self.config, self.module, self.answered, [bucket], split) if g)

    def spec(self, scorer: TrainedScorer) -> HeadSpec:
        """What the heads are."""
        model, head = self.config.model, scorer.scorer.head
        shapes = head.delta_shapes()
        return HeadSpec(self.kind, model.width, model.rank, shapes, fingerprint(self.base), self.config.data.buckets)


def encode(scorer: TrainedScorer, users: Sequence[list[Group]]) -> list[UserFeatures]:
    """Features of users from their groups."""
    encodings = iter(scorer.pair_encodings([group for groups in users for group in groups]))
    return [features_of(groups, list(islice(encodings, len(groups)))) for groups in users]


class Since:
    """When some buckets were begun."""

    def __init__(self) -> None:
        self._began, self._worked = time.time(), time.process_time()

    def row(self, users: int) -> dict[str, Any]:
        """Ray Data's row of what is done: users, `began` (seconds since the epoch), `cpu_s` spent in this process."""
        cpu_s = time.process_time() - self._worked
        return {name: np.asarray([x]) for name, x in (("users", users), ("began", self._began), ("cpu_s", cpu_s))}


class MixBuckets:
    """Ray Data's callable for `facets`: one forward pass of the router instead of a fit."""

    def __init__(self, fit: Fit, tuned: Tuned, out: Path) -> None:
        self._fit, self._out = fit, out
        self._scorer = fit.scorer()
        self._store = HeadStore.open(str(out / FOLDER), expect=fit.spec(self._scorer))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """batch: `buckets`, lists of bucket numbers."""
        users, since = 0, Since()
        for bucket in (int(bucket) for buckets in batch["buckets"] for bucket in buckets):
            ids = {groups[0].user_id for groups in self._fit.groups(bucket, self._fit.splits)}
            found = read_users(self._fit.users, None, ids)
            mixed = mixed_users(self._scorer, [profile_of(user, bucket) for user in found])
            write_record(self._store, bucket, mixed, self._out)
            users += len(mixed)
        return since.row(users)


def mixed_users(scorer: TrainedScorer, profiles: Sequence[Profile]) -> list[UserFit]:
    """Users' mixtures from their records; a user without any keeps the population's."""
    if not profiles:
        return []
    weights = scorer.mix(profiles)
    return [
        UserFit(
            {MIXTURE: delta} if profile.texts else None,
            {
                "user_id": profile.user_id,
                "fingerprint": profile.fingerprint(),
                "rows": len(profile.texts),
                "epoch": 0,
                "kept_population": not profile.texts,
                "reused": False,
                "loss_before": None,
                "loss_after": None,
            },
        )
        for profile, delta in zip(profiles, weights, strict=True)
    ]


class FitBuckets:
    """Ray Data's callable: fits the heads of all users of some buckets and leaves their parts and records in `out`."""

    def __init__(self, fit: Fit, tuned: Tuned, out: Path) -> None:
        self._fit, self._tuned, self._out = fit, tuned, out
        self._scorer = fit.scorer()
        self._store = HeadStore.open(str(out / FOLDER), expect=fit.spec(self._scorer))
        self._previous = Previous(fit.previous) if fit.previous else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """batch: `buckets`, lists of bucket numbers. Small buckets are fitted together, up to `fit.batch_users`."""
        users, since = 0, Since()
        for buckets in batch["buckets"]:
            waiting: dict[int, list[UserFeatures]] = {}
            for bucket in map(int, buckets):
                waiting[bucket] = self._features(bucket)
                users += len(waiting[bucket])
                if sum(map(len, waiting.values())) >= self._fit.config.fit.batch_users:
                    self._finish(waiting)
                    waiting = {}
            self._finish(waiting)
        return since.row(users)

    def _features(self, bucket: int) -> list[UserFeatures]:
        """One bucket's features, encoded or as an earlier run kept them."""
        file = self._fit.features / f"bucket-{bucket:06d}.arrow"
        if not file.exists():
            users = self._fit.encoded(self._scorer, bucket, self._fit.splits)
            save_features(users, self._scorer.scorer.head.width, file)
        return load_features(file)

    def _finish(self, waiting: dict[int, list[UserFeatures]]) -> None:
        """Fits the users of these buckets, writes their parts and then their records."""
        found: dict[str, UserFit] = {}
        for bucket, users in waiting.items():
            if self._previous:
                found |= self._previous.unchanged(bucket, users)
        changed = [user for users in waiting.values() for user in users if user.user_id not in found]
        size = self._fit.config.fit.batch_users
        for start in range(0, len(changed), size):
            found |= self._solve(changed[start : start + size])
        for bucket, users in waiting.items():
            write_record(self._store, bucket, [found[user.user_id] for user in users], self._out)

    def _solve(self, users: Sequence[UserFeatures]) -> dict[str, UserFit]:
        config, head = self._fit.config, self._fit.head(self._scorer)
        ids = [user.user_id for user in users]
        start = self._previous.deltas(ids) if self._previous else None
        rows = pad_users([u.z for u in users], [u.label for u in users], [u.query for u in users])
        fitted = solver.solve(head, rows, self._tuned, config.fit, config.train.loss, start)
        return {user.user_id: UserFit.of(user, fitted, i) for i, user in enumerate(users)}


def tune(fit: Fit, run: Run) -> Tuned:
    """What `solver.tune` finds on `Fit.tuning_users`."""
    # PyTorch's threads spin while they wait: beside other processes, two take 20 times as long as one.
    torch.set_num_threads(1)
    scorer = fit.scorer()
    users = fit.tuning_users(scorer)
    rows = pad_users([u.z for u in users], [u.label for u in users], [u.query for u in users])
    tuned = solver.tune(fit.head(scorer), rows, fit.config.fit, fit.config.train.loss)
    run.say(f"fit-{fit.module}: {solver.describe(tuned)}, from {len(users)} training users")
    return tuned


def fit_users(run: Run, fit: Fit, out: Path) -> dict[str, Any]:
    """Fits the heads of all users of the fit's splits and publishes them in `out`; returns counts and times.

    fit_s: seconds from the first bucket's beginning to the published version, by the workers' clocks; publish_s: those
    of them that publishing took. cpu_s: processor seconds of the workers and of publishing. All of this attempt alone.
    """
    import ray

    run.ray()
    scorer = fit.scorer()
    if not scorer.scorer.head.delta_shapes():
        return {"users": 0}
    store = new_store(out, fit.spec(scorer))
    scratch = out / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    learned = scratch / "tuned.json"
    if not learned.exists():
        learned.write_text(json.dumps({} if fit.kind == "facets" else tune(fit, run)))
    tuned = json.loads(learned.read_text())
    buckets = fit.buckets()
    left = [bucket for bucket in buckets if not record_file(out, bucket).exists()]
    if len(left) < len(buckets):
        run.say(f"fit-{fit.module}: {len(buckets) - len(left)} of {len(buckets)} buckets are done already")
    began, cpu_s = time.time(), 0.0
    if left:
        parts = chunks(left, max(4, run.config.ray.actors * 4))
        done = (
            ray.data.from_items([{"buckets": part} for part in parts])
            .map_batches(
                MixBuckets if fit.kind == "facets" else FitBuckets,
                fn_constructor_args=(fit, tuned, out),
                batch_size=1,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=run.config.ray.actors),
            )
            .take_all()
        )
        began, cpu_s = min(row["began"] for row in done), sum(row["cpu_s"] for row in done)
    fitted, since = time.time(), Since()
    store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in buckets], replace=True)
    ended, publishing = time.time(), float(since.row(0)["cpu_s"][0])
    counts = count_fitted(out)
    times = {"fit_s": ended - began, "publish_s": ended - fitted, "cpu_s": cpu_s + publishing}
    run.say(
        f"fit-{fit.module}: {counts['users']} users in {times['fit_s']:.1f} s, {counts['kept_population']} keep the "
        "population head"
    )
    return {**counts, **{name: round(value, 3) for name, value in times.items()}, **tuned}
