"""A checkpoint that any number of workers can continue from.

progress.json             where training was, and of which model
weights.safetensors       of the base, and
optimizer.safetensors     their AdamW state, both as `engine_state` writes them
heads-BUCKET.safetensors  one bucket's heads with their optimiser state; the users in the file's metadata

Rank 0 writes the first three, the owner of a bucket its heads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.training.joint.user_head_table import UserHeadTable

PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where training is: `step` steps of `epoch` (from 0) are done, `total` optimiser steps in all.

    loss: sum over the epoch's rows so far. routed: each expert's share of the last step's rows, for `mixture`. model:
    the model's config, its head kind included.
    """

    epoch: int
    step: int
    total: int
    loss: float
    routed: list[float]
    model: dict[str, Any]


def heads_file(folder: Path, bucket: int) -> Path:
    """Where a bucket's heads lie."""
    return folder / f"heads-{bucket:06d}.safetensors"


def save_bucket(table: UserHeadTable, bucket: int, folder: Path) -> None:
    """Writes one bucket's heads."""
    save_file(table.state(bucket), heads_file(folder, bucket), {"users": json.dumps(table.users_of(bucket))})


def read_bucket(file: Path) -> tuple[list[str], dict[str, Tensor]]:
    """Users and state that `save_bucket` wrote. Raises UserError if the file is broken."""
    try:
        with safe_open(file, "pt") as stream:
            users: list[str] = json.loads(stream.metadata()["users"])
        return users, load_file(file)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: the heads cannot be read ({error}); remove {file.parent} to start over") from None


def save_progress(folder: Path, progress: TrainState) -> None:
    """Writes where training is; rank 0 alone."""
    (folder / PROGRESS).write_text(json.dumps(asdict(progress)))


def load_progress(folder: Path, model: Mapping[str, Any], kinds: Sequence[str]) -> TrainState | None:
    """Where the checkpoint's training was; None if it trained another of the job's head `kinds`, which come one after
    the other.

    Raises UserError if its base is another or its head kind none of them, or the file is broken.
    """
    try:
        progress = TrainState(**json.loads((folder / PROGRESS).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder / PROGRESS}: no checkpoint of this version ({error}); remove {folder}") from None
    wrong = [name for name, value in model.items() if name != "head" and progress.model.get(name) != value]
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{folder}: checkpoint of another model (model.{name}={progress.model.get(name)}, here {model[name]}); "
            "remove it, or run with the config that made it"
        )
    kind = progress.model.get("head")
    if kind not in kinds:
        raise UserError(
            f"{folder}: checkpoint of another head kind ({kind}, here {' and '.join(kinds)}); remove it, or run with "
            "the config that made it"
        )
    return progress if kind == model["head"] else None


def load_heads(folder: Path, table: UserHeadTable) -> None:
    """Fills the table's buckets. Raises UserError if a bucket is missing, or holds other users or heads."""
    for bucket in table.buckets:
        file = heads_file(folder, bucket)
        if not file.exists():
            raise UserError(f"{file}: missing; the checkpoint is incomplete, remove {folder} to start over")
        users, state = read_bucket(file)
        try:
            if users != table.users_of(bucket):
                raise KeyError("other users")
            table.load_state(bucket, state)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{file}: does not fit these heads ({reason}); remove {folder} to start over") from None
