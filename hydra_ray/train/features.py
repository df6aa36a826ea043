"""Pair encodings of one bucket's users, computed once: float16 in Arrow, reused by every later fit on the same base.

One row per labelled row: user_id, query (0, 1, ... of the user), label, z. Rounding to float16 is a relative error of at
most 2^-11, a tenth of what dropout does to the same numbers in training.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.train.groups import Group


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """One user's rows: z float32 [R, Z], label float32 [R], query int64 [R], and a fingerprint of what they came from."""

    user_id: str
    z: NDArray[np.float32]
    label: NDArray[np.float32]
    query: NDArray[np.int64]
    fingerprint: str


def fingerprint_of(groups: Sequence[Group]) -> str:
    """Says whether a user's rows are the same as they were: texts, labels and evidence."""
    digest = hashlib.blake2b(digest_size=8)
    for group in groups:
        digest.update(repr((group.query_id, group.left, group.right, group.label, group.evidence)).encode())
    return digest.hexdigest()


def features_of(groups: Sequence[Group], encodings: Sequence[NDArray[np.float32]]) -> UserFeatures:
    """One user's groups and their pair encodings [rows of the group, Z]; rows without a label are left out.

    Raises UserError if an encoding is not finite.
    """
    z = np.concatenate(encodings)
    label = np.asarray([y for group in groups for y in group.label], dtype=np.float32)
    query = np.repeat(np.arange(len(groups)), [len(group.right) for group in groups])
    known = ~np.isnan(label)
    if not np.isfinite(z[known]).all():
        raise UserError(
            f"user {groups[0].user_id!r}: an encoding is not finite; check model.encoder and the user's texts"
        )
    return UserFeatures(groups[0].user_id, z[known], label[known], query[known], fingerprint_of(groups))


def save_features(users: Sequence[UserFeatures], width: int, file: Path) -> None:
    """Writes a bucket's file, whole or not at all."""
    counts = [len(user.label) for user in users]
    z = np.concatenate([user.z for user in users]) if users else np.zeros((0, width), np.float32)
    table = pa.table(
        {
            "user": np.repeat(np.arange(len(users), dtype=np.int32), counts),
            "query": _flat([user.query.astype(np.int32) for user in users], np.int32),
            "label": _flat([user.label for user in users], np.float32),
            "z": pa.FixedSizeListArray.from_arrays(pa.array(z.astype(np.float16).reshape(-1)), width),
        }
    ).replace_schema_metadata(
        {"users": "\n".join(f"{user.fingerprint} {user.user_id!r}" for user in users), "width": str(width)}
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    feather.write_feather(table, part, compression="uncompressed")
    part.rename(file)
