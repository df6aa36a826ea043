"""The folders of a run, for a state to be made of."""

from collections.abc import Sequence
from pathlib import Path

import torch

from hydra_ray.core.hashing import bucket_of
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, write_heads
from tests.pipeline.fitted_world import users

USER_IDS = [user.user_id for user, _ in users()]
SHAPES = {"out_weight": (8, 2), "out_bias": (2,)}


def write_some_heads(folder: Path, kind: str, base: str, user_ids: Sequence[str], value: float) -> Path:
    spec = HeadSpec(kind, 8, 8, SHAPES, base, 8)
    by_bucket: dict[int, list[str]] = {}
    for user in user_ids:
        by_bucket.setdefault(bucket_of(user, 8), []).append(user)
    rows = [
        HeadsOfBucket(b, ids, {name: torch.full((len(ids), *shape), value) for name, shape in SHAPES.items()})
        for b, ids in by_bucket.items()
    ]
    folder.mkdir()
    write_heads(folder, spec, rows)
    return folder
