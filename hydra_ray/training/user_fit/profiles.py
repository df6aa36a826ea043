"""What a router reads of a user: the newest items of the user's own history, encoded once by the frozen encoder."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import torch
from numpy.typing import NDArray

from hydra_ray.core.queries import asked_item
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.models.heads import Deltas
from hydra_ray.models.mixture import PRESENT, PROFILE
from hydra_ray.training.joint.ranking_examples import RankingExample

PROFILE_ITEMS = 128
"""Newest items of a user that are read, as in mixture-of-facets personalisation (2026)."""

PROFILE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("bucket", pa.int32()),
        ("items", pa.list_(pa.string())),
        ("texts", pa.list_(pa.string())),
    ]
)
"""Parquet schema of profiles."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's newest items: their ids, and text and answer of each."""

    user_id: str
    bucket: int
    items: tuple[str, ...]
    texts: tuple[str, ...]

    def fingerprint(self) -> str:
        """Says whether the items are the same as they were."""
        return hashlib.blake2b(repr(self.texts).encode(), digest_size=8).hexdigest()


def profile_of(user: User, bucket: int) -> Profile:
    """The items that every question of the user may see; never what is, or is newer than, an evaluated question."""
    items = user.safe_history()[-PROFILE_ITEMS:]
    texts = tuple(map(item_text, items))
    return Profile(user.user_id, bucket, tuple(item.item_id for item in items), texts)


def item_text(item: HistoryItem) -> str:
    """What a router reads of an item: text and answer."""
    return f"{item.text}\n{item.answer}" if item.answer else item.text


def profiles_to_table(profiles: Iterable[Profile]) -> pa.Table:
    """Arrow table in PROFILE_SCHEMA."""
    rows = [{"user_id": p.user_id, "bucket": p.bucket, "items": p.items, "texts": p.texts} for p in profiles]
    return pa.Table.from_pylist(rows, schema=PROFILE_SCHEMA)


def read_profiles(folder: Path, buckets: Sequence[int]) -> list[Profile]:
    """The profiles of the users of `buckets` (Parquet)."""
    wanted = pads.field("bucket").isin(list(buckets))
    rows = pads.dataset(folder, format="parquet").to_table(filter=wanted).to_pylist()
    return [Profile(row["user_id"], row["bucket"], tuple(row["items"]), tuple(row["texts"])) for row in rows]


class Profiles:
    """Users' encoded items, as a batch of queries needs them."""

    def __init__(self, profiles: Iterable[Profile], encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> None:
        self._of = {profile.user_id: profile for profile in profiles}
        texts = list(dict.fromkeys(text for profile in self._of.values() for text in profile.texts))
        self._row = {text: row for row, text in enumerate(texts)}
        self._embeddings = torch.from_numpy(encode(texts or [""]))
        self.width = self._embeddings.shape[-1]

    def of_examples(self, examples: Sequence[RankingExample], device: torch.device | None = None) -> Deltas:
        """One profile per query, [Q, H, D], and which of its items exist, [Q, H]: the item asked is left out."""
        found = [
            self._of.get(example.user_id, Profile(example.user_id, example.bucket, (), ())) for example in examples
        ]
        longest = max((len(profile.texts) for profile in found), default=0) or 1
        profile_QHD = torch.zeros(len(examples), longest, self.width)
        present_QH = torch.zeros(len(examples), longest)
        for q, (example, profile) in enumerate(zip(examples, found, strict=True)):
            count = len(profile.texts)
            profile_QHD[q, :count] = self._embeddings[[self._row[text] for text in profile.texts]]
            asked = asked_item(example.query_id)
            present_QH[q, :count] = torch.tensor([float(item != asked) for item in profile.items])
        return {PROFILE: profile_QHD.to(device), PRESENT: present_QH.to(device)}

    def of_users(self, device: torch.device | None = None) -> Deltas:
        """All users' profiles, [U, H, D] and [U, H], in the order given."""
        return self.of_examples([RankingExample(user, 0, "", "", (), ()) for user in self._of], device)

    def blank(self, device: torch.device | None = None) -> Deltas:
        """Of no user."""
        return {PROFILE: torch.zeros(1, 1, self.width, device=device), PRESENT: torch.zeros(1, 1, device=device)}
