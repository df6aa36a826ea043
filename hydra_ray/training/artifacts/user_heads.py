"""Users' heads between the head store and the scorer: gathered for a batch; unknown users have the shared head."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from hydra_ray.models.heads import Deltas
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.store.heads.staged_fragments import StagedFragments

FOLDER = "heads"
"""The store's folder in an artifact."""
KEPT_BYTES = 64 << 20
"""Heads kept in memory at most: those of the users scored last."""


Delta = Mapping[str, NDArray[np.float32]]
"""One user's arrays by name."""


class UserHeads:
    """Deltas by user, read from a store as they are asked for. The store stays at the version it was opened at."""

    def __init__(self, store: HeadStore) -> None:
        self._store = store
        self._kept: LRUCache[str, Delta] = LRUCache(max(1, KEPT_BYTES // store.spec.row_bytes))

    @classmethod
    def open(cls, artifact: Path, base: str) -> "UserHeads | None":
        """The heads in an artifact's folder; None where it has none (a kind without user parameters).

        base: fingerprint of the base that they must belong to. Raises UserError if they do not, or as `HeadStore`.
        """
        if not (artifact / FOLDER).exists():
            return None
        store = HeadStore.open(str(artifact / FOLDER))
        store.spec.check(replace(store.spec, base=base), str(artifact / FOLDER))
        return cls(store)

    @property
    def user_ids(self) -> list[str]:
        """All users who have a head here, sorted."""
        return self._store.users()

    def of(self, user_ids: Sequence[str]) -> Deltas:
        """Deltas [n, ...], zeros (the shared head) for users without a head of their own."""
        found = {user: self._kept[user] for user in dict.fromkeys(user_ids) if user in self._kept}
        missing = [user for user in dict.fromkeys(user_ids) if user not in found]
        if missing:
            _, arrays = self._store.get(missing)
            read = {user: {name: value[i] for name, value in arrays.items()} for i, user in enumerate(missing)}
            self._kept.update(read)
            found |= read
        return stacked([found[user] for user in user_ids], self._store.spec.shapes)


class UnpublishedHeads:
    """Heads that are in no store yet."""

    def __init__(self, known: Mapping[str, Delta], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """known: user -> delta. shapes: name -> shape of one user's array."""
        self._known, self._shapes = known, shapes
        self._blank = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def of(self, user_ids: Sequence[str]) -> Deltas:
        """See UserHeads."""
        return stacked([self._known.get(user, self._blank) for user in user_ids], self._shapes)


def stacked(rows: Sequence[Delta], shapes: Mapping[str, tuple[int, ...]]) -> Deltas:
    """Single users' deltas as one, [n, ...]."""
    return {
        name: torch.from_numpy(np.stack([row[name] for row in rows])) if rows else torch.zeros(0, *shape)
        for name, shape in shapes.items()
    }


def new_store(artifact: Path, spec: HeadSpec) -> HeadStore:
    """The store in an artifact's folder: the one that an earlier attempt made, or a new one."""
    folder = artifact / FOLDER
    # A folder without a version is what a killed `create` left.
    if any((folder / "_versions").glob("*")):
        return HeadStore.open(str(folder), expect=spec)
    return HeadStore.create(str(folder), spec)


class HeadsOfBucket(NamedTuple):
    """The heads of a bucket's users. deltas: name -> [len(users), ...]."""

    bucket: int
    users: list[str]
    deltas: Deltas


def write_heads(artifact: Path, spec: HeadSpec, buckets: Iterable[HeadsOfBucket]) -> int:
    """Publishes the buckets as one version; returns the number of users."""
    store = new_store(artifact, spec)
    parts: list[StagedFragments] = []
    users = 0
    for bucket, ids, deltas in buckets:
        parts.append(store.stage_heads(bucket, ids, {name: value.numpy() for name, value in deltas.items()}))
        users += len(ids)
    store.publish(parts, replace=True)
    return users
