"""What a fit leaves of every bucket besides the heads: its part of the store, and what is known of each user.

fitted/bucket-N.parquet    one row per user (FITTED_SCHEMA)
records/bucket-N.json      the bucket's part, not yet published; written last: the bucket is done
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from hydra_ray.models.heads import Deltas
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.user_heads import FOLDER
from hydra_ray.training.user_fit.features import UserFeatures
from hydra_ray.training.user_fit.solver import Fitted
from hydra_ray.utils.atomic_io import write_text

FITTED_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("fingerprint", pa.string()),
        ("rows", pa.int32()),
        ("epoch", pa.int32()),
        ("kept_shared_head", pa.bool_()),
        ("guarded", pa.bool_()),
        ("reused", pa.bool_()),
        ("loss_before", pa.float32()),
        ("loss_after", pa.float32()),
    ]
)
"""fingerprint: of the rows that the head was fitted on. guarded: the user's own queries spoke against the head.
reused: the head is an earlier fit's. The losses are those of `solver.Fitted`, null where they are not known."""


@dataclass(frozen=True, slots=True)
class UserFit:
    """One user's head (name -> array; None: the shared head) and row of FITTED_SCHEMA."""

    delta: dict[str, NDArray[np.float32]] | None
    known: dict[str, Any]

    @classmethod
    def make(
        cls,
        user_id: str,
        fingerprint: str,
        rows: int,
        delta: dict[str, NDArray[np.float32]] | None,
        epoch: int = 0,
        before: float = math.nan,
        after: float = math.nan,
        guarded: bool = False,
    ) -> "UserFit":
        """A head made now. before, after: NaN where they are not known."""
        known = {
            "user_id": user_id,
            "fingerprint": fingerprint,
            "rows": rows,
            "epoch": epoch,
            "kept_shared_head": delta is None,
            "guarded": guarded,
            "reused": False,
            "loss_before": None if math.isnan(before) else before,
            "loss_after": None if math.isnan(after) else after,
        }
        return cls(delta, known)

    @classmethod
    def of(cls, user: UserFeatures, fitted: Fitted, i: int) -> "UserFit":
        """The user at place `i` of what was fitted."""
        kept = bool(fitted.kept_shared_head[i]) or not len(user.label)
        delta = None if kept else {name: value[i].numpy() for name, value in fitted.deltas.items()}
        epoch, before, after = int(fitted.epoch[i]), float(fitted.before[i]), float(fitted.after[i])
        guarded = bool(fitted.guarded[i])
        return cls.make(user.user_id, user.fingerprint, len(user.label), delta, epoch, before, after, guarded)


def fitted_file(out: Path, bucket: int) -> Path:
    """What is known of a bucket's users."""
    return out / "fitted" / f"bucket-{bucket:06d}.parquet"


def record_file(out: Path, bucket: int) -> Path:
    """There when the bucket is done."""
    return out / "records" / f"bucket-{bucket:06d}.json"


def write_record(store: HeadStore, bucket: int, users: Sequence[UserFit], out: Path) -> None:
    """Writes one bucket's heads, what is known of its users, and last its record; nothing of it is published yet."""
    own = [user for user in users if user.delta is not None]
    arrays = {
        name: np.stack([user.delta[name] for user in own if user.delta]) if own else np.zeros((0, *shape), np.float32)
        for name, shape in store.spec.shapes.items()
    }
    part = store.stage_heads(bucket, [user.known["user_id"] for user in own], arrays)
    fitted, record = fitted_file(out, bucket), record_file(out, bucket)
    for file in (fitted, record):
        file.parent.mkdir(exist_ok=True)
    table = pa.Table.from_pylist([user.known for user in users], schema=FITTED_SCHEMA)
    pq.write_table(table, fitted, compression="zstd")
    write_text(record, json.dumps(part))


def count_fitted(out: Path) -> dict[str, int]:
    """users, with_rows, kept_shared_head (those with rows that could not beat it), guarded of them, reused."""
    counts = dict.fromkeys(("users", "with_rows", "kept_shared_head", "guarded", "reused"), 0)
    for file in sorted((out / "fitted").glob("bucket-*.parquet")):
        table = pq.read_table(file, columns=["rows", "kept_shared_head", "guarded", "reused"], partitioning=None)
        some = pc.greater(table["rows"], 0)
        counts["users"] += table.num_rows
        counts["with_rows"] += pc.sum(some).as_py() or 0
        counts["kept_shared_head"] += pc.sum(pc.and_(some, table["kept_shared_head"])).as_py() or 0
        counts["guarded"] += pc.sum(table["guarded"]).as_py() or 0
        counts["reused"] += pc.sum(table["reused"]).as_py() or 0
    return counts


class Previous:
    """An earlier fit: the heads of users whose rows have not changed, and where the others' learning begins."""

    def __init__(self, folder: Path, spec: HeadSpec) -> None:
        """folder: of the finished fit. Raises UserError if its heads are not what `spec` says."""
        self._folder = folder
        self._store = HeadStore.open(str(folder / FOLDER), expect=spec)

    def fingerprints(self, bucket: int) -> dict[str, str]:
        """Of the rows that a bucket's users were fitted on."""
        return {user: row["fingerprint"] for user, row in self._known(bucket).items()}

    def unchanged(self, bucket: int, users: Sequence[UserFeatures]) -> dict[str, UserFit]:
        """Those of a bucket's users whose rows are what they were fitted on, with their heads."""
        known = self._known(bucket)
        same = [u.user_id for u in users if u.user_id in known and known[u.user_id]["fingerprint"] == u.fingerprint]
        found, arrays = self._store.get(same)
        return {
            user: UserFit(
                {name: value[i] for name, value in arrays.items()} if found[i] else None,
                {**known[user], "reused": True},
            )
            for i, user in enumerate(same)
        }

    def _known(self, bucket: int) -> dict[str, dict[str, Any]]:
        file = fitted_file(self._folder, bucket)
        rows = pq.read_table(file, partitioning=None).to_pylist() if file.exists() else []
        return {row["user_id"]: row for row in rows}

    def deltas(self, user_ids: Sequence[str]) -> Deltas:
        """Deltas [U, ...], zeros for users who had none."""
        _, arrays = self._store.get(user_ids)
        return {name: torch.from_numpy(value) for name, value in arrays.items()}
