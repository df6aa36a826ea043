"""Pair embeddings of one bucket's users, computed once: float16 in Arrow, reused by every later fit on the same base.

One row per labelled row: user (0, 1, ... of the bucket), query (0, 1, ... of the user), label, z. Rounding to float16
is a relative error of at most 2^-11.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.padded_users import PaddedUsers, pad_users
from hydra_ray.utils.atomic_io import write_atomically


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """One user's rows: z float32 [R, Z], label float32 [R], query int64 [R]; fingerprint: of what they came from."""

    user_id: str
    z: NDArray[np.float32]
    label: NDArray[np.float32]
    query: NDArray[np.int64]
    fingerprint: str


def fingerprint_of(examples: Sequence[RankingExample]) -> str:
    """Says whether a user's rows are the same as they were: texts, labels and features."""
    digest = hashlib.blake2b(digest_size=8)
    for example in examples:
        digest.update(
            repr((example.query_id, example.query, example.candidates, example.label, example.features)).encode()
        )
    return digest.hexdigest()


def features_of(examples: Sequence[RankingExample], pair_embeddings: Sequence[NDArray[np.float32]]) -> UserFeatures:
    """One user's ranking examples and their pair embeddings [candidates of the example, Z]; those without a
    label are left out.

    Raises UserError if a pair embedding is not finite.
    """
    z = np.concatenate(pair_embeddings)
    label = np.asarray([y for example in examples for y in example.label], dtype=np.float32)
    query = np.repeat(np.arange(len(examples)), [len(example.candidates) for example in examples])
    known = ~np.isnan(label)
    if not np.isfinite(z[known]).all():
        raise UserError(
            f"user {examples[0].user_id!r}: a pair embedding is not finite; check model.encoder and the user's texts"
        )
    return UserFeatures(examples[0].user_id, z[known], label[known], query[known], fingerprint_of(examples))


def empty_features(user_id: str, width: int) -> UserFeatures:
    """A user without rows."""
    return UserFeatures(user_id, np.zeros((0, width), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), "")


def rows_of(users: Sequence[UserFeatures]) -> PaddedUsers:
    """The users' rows as one batched problem."""
    return pad_users([user.z for user in users], [user.label for user in users], [user.query for user in users])


def rounded(user: UserFeatures) -> UserFeatures:
    """The user's features as `save_features` keeps them and `load_features` gives them back.

    Raises UserError for what float16 cannot hold.
    """
    return replace(user, z=_halved(user).astype(np.float32))


def _halved(user: UserFeatures) -> NDArray[np.float16]:
    if len(user.z) and np.abs(user.z).max() > np.finfo(np.float16).max:
        raise UserError(
            f"user {user.user_id!r}: a pair embedding is larger than float16 holds; normalise the base's output"
        )
    return user.z.astype(np.float16)


def save_features(users: Sequence[UserFeatures], width: int, file: Path) -> None:
    """Writes one bucket's file, whole or not at all. width: Z. Raises UserError for what float16 cannot hold."""
    counts = [len(user.label) for user in users]
    z = _joined([_halved(user) for user in users], np.float16, (0, width))
    columns = {
        "user": np.repeat(np.arange(len(users), dtype=np.int32), counts),
        "query": _joined([user.query for user in users], np.int32, (0,)),
        "label": _joined([user.label for user in users], np.float32, (0,)),
        "z": pa.FixedSizeListArray.from_arrays(pa.array(z.reshape(-1)), width),
    }
    whose = json.dumps([[user.user_id, user.fingerprint] for user in users])
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata({"users": whose})
    with write_atomically(file) as part:
        feather.write_feather(table, part, compression="uncompressed")


def load_features(file: Path) -> list[UserFeatures]:
    """What `save_features` wrote, float16 made float32 again. Raises UserError if the file is broken."""
    try:
        table = feather.read_table(file, memory_map=True).combine_chunks()
        whose = json.loads(table.schema.metadata[b"users"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: no file of features ({error}); remove it, and it is made again") from None
    user = table["user"].to_numpy()
    width = table.schema.field("z").type.list_size
    z = table["z"].combine_chunks().flatten().to_numpy().reshape(len(table), width)
    ends = np.searchsorted(user, np.arange(len(whose)), side="right")
    starts = np.searchsorted(user, np.arange(len(whose)), side="left")
    label, query = table["label"].to_numpy(), table["query"].to_numpy()
    return [
        UserFeatures(user_id, z[a:b].astype(np.float32), label[a:b].copy(), query[a:b].astype(np.int64), fingerprint)
        for (user_id, fingerprint), a, b in zip(whose, starts, ends, strict=True)
    ]


def _joined(parts: Sequence[NDArray[Any]], dtype: type, empty: tuple[int, ...]) -> NDArray[Any]:
    joined: NDArray[Any] = (np.concatenate(parts) if parts else np.zeros(empty)).astype(dtype)
    return joined
