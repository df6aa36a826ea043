"""Small stores of made-up heads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.hashing import bucket_of
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.rows import Arrays
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.store.heads.staged_fragments import StagedFragments

SPEC = HeadSpec("linear", 8, 0, {"out_weight": (8, 2), "out_bias": (2,)}, "base-1", 4)
USERS = [f"user{i}" for i in range(40)]


def heads(users: int, seed: int = 0, spec: HeadSpec = SPEC) -> Arrays:
    """Normal draws."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((users, *shape), np.float32) for name, shape in spec.shapes.items()}


def constant(users: int, value: float) -> Arrays:
    """Heads that are all one number, so that a mixture of two versions shows."""
    return {name: np.full((users, *shape), value, np.float32) for name, shape in SPEC.shapes.items()}


def numbers(arrays: Arrays) -> NDArray[np.float32]:
    """All numbers of all arrays."""
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


def parts_of(store: HeadStore, users: Sequence[str], value: float) -> list[StagedFragments]:
    """The parts of `constant` heads, one per bucket."""
    by_bucket: dict[int, list[str]] = {}
    for user in users:
        by_bucket.setdefault(bucket_of(user, SPEC.buckets), []).append(user)
    return [store.stage_heads(b, some, constant(len(some), value)) for b, some in by_bucket.items()]
