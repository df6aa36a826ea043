"""Users' heads on a trained retriever in a folder.

heads.json    what they were fitted with, and how many users have one
heads/        a head store; users whom the retriever serves as it is have no row
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.core.hashing import bucket_of
from hydra_ray.models.retriever_head import WEIGHT, RetrieverHead
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever
from hydra_ray.training.artifacts.unreadable import reading_trained
from hydra_ray.training.artifacts.user_heads import FOLDER, HeadsOfBucket, UserHeads, write_heads

ABOUT, KIND = "heads.json", "retriever"


def save_heads(
    folder: Path,
    retriever: TrainedRetriever,
    buckets: int,
    heads: Mapping[str, NDArray[np.float32]],
    about: Mapping[str, Any],
) -> None:
    """Writes users' heads.

    Args:
        folder: Takes them.
        retriever: They are of it and of no other.
        buckets: The fixed count behind user -> bucket.
        heads: User -> head, float32 [width]; the retriever serves all others as it is.
        about: What else is kept of the fit, as JSON has it.
    """
    spec = HeadSpec(KIND, retriever.width, 0, RetrieverHead(retriever.width).delta_shapes(), retriever.digest, buckets)
    of_bucket: dict[int, list[str]] = {}
    for user in sorted(heads):
        of_bucket.setdefault(bucket_of(user, buckets), []).append(user)
    write_heads(folder, spec, (
        HeadsOfBucket(bucket, users, {WEIGHT: torch.from_numpy(np.stack([heads[user] for user in users]))})
        for bucket, users in sorted(of_bucket.items())
    ))  # fmt: skip
    (folder / ABOUT).write_text(json.dumps({"width": retriever.width, "users": len(heads), **about}, indent=2))


def numbers_of(name: str, folder: Path) -> int:
    """The numbers of one user's head. Raises UserError where there are no heads."""
    with reading_trained(name, "heads", folder):
        return int(json.loads((folder / ABOUT).read_text())["width"])


class RetrieverHeads:
    """Users' heads on a retriever."""

    def __init__(self, heads: UserHeads) -> None:
        self._heads = heads

    def of(self, user_id: str) -> NDArray[np.float32] | None:
        """A user's own, float32 [width]; None where the retriever serves the user as it is."""
        found: NDArray[np.float32] = self._heads.of([user_id])[WEIGHT].numpy()[0]
        return found if found.any() else None


@lru_cache(maxsize=8)
def retriever_heads(name: str, folder: Path, base: str) -> RetrieverHeads:
    """What `save_heads` wrote, opened once in a process.

    base: `TrainedRetriever.digest`. Raises UserError where there are no heads, or those of another retriever.
    """
    with reading_trained(name, "heads", folder):
        heads = UserHeads.open(folder, base)
        if heads is None:
            raise FileNotFoundError(FOLDER)
        return RetrieverHeads(heads)
