from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts import user_heads
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, UnpublishedHeads, UserHeads, write_heads

SPEC = HeadSpec("linear", 2, 8, {"out_weight": (2, 2), "out_bias": (2,)}, "base", 8)


def written(folder: Path, users: list[str]) -> dict[str, torch.Tensor]:
    """Heads of `users`, each with numbers of its own."""
    buckets = sorted({bucket_of(user, SPEC.buckets) for user in users})
    heads = {user: {"out_weight": torch.full((2, 2), i + 1.0), "out_bias": torch.tensor([0.0, i])} for i, user in
             enumerate(users)}  # fmt: skip
    parts = []
    for bucket in buckets:
        own = [user for user in users if bucket_of(user, SPEC.buckets) == bucket]
        deltas = {name: torch.stack([heads[user][name] for user in own]) for name in SPEC.shapes}
        parts.append(HeadsOfBucket(bucket, own, deltas))
    assert write_heads(folder, SPEC, parts) == len(users)
    return {user: heads[user]["out_weight"] for user in users}


def test_heads_come_in_the_order_asked_and_strangers_get_the_shared_head(tmp_path: Path) -> None:
    users = [f"u{i}" for i in range(20)]
    expected = written(tmp_path, users)
    heads = UserHeads.open(tmp_path, "base")
    assert heads is not None
    assert heads.user_ids == sorted(users)
    users = ["u7", "stranger", "u3", "u7"]
    for _ in range(2):  # from the store, then from memory
        found = heads.of(users)["out_weight"]
        for user, value in zip(users, found, strict=True):
            assert torch.equal(value, expected.get(user, torch.zeros(2, 2)))
    assert heads.of([])["out_bias"].shape == (0, 2)


def test_heads_in_no_store_are_given_out_alike() -> None:
    own = {"out_weight": np.ones((2, 2), np.float32), "out_bias": np.ones(2, np.float32)}
    heads = UnpublishedHeads({"ann": own}, SPEC.shapes)
    found = heads.of(["bob", "ann", "ann"])
    assert found["out_bias"].tolist() == [[0, 0], [1, 1], [1, 1]]
    assert found["out_weight"].sum((1, 2)).tolist() == [0, 4, 4]
    assert heads.of([])["out_bias"].shape == (0, 2)


def test_memory_holds_the_users_asked_for_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [f"u{i}" for i in range(10)]
    expected = written(tmp_path, users)
    monkeypatch.setattr(user_heads, "KEPT_BYTES", 3 * SPEC.row_bytes)
    heads = UserHeads.open(tmp_path, "base")
    assert heads is not None
    for start in range(0, 10, 2):
        found = heads.of(users[start : start + 5])["out_weight"]
        assert torch.equal(found, torch.stack([expected[user] for user in users[start : start + 5]]))
        assert len(heads._kept) <= 3


def test_heads_of_another_base_are_refused_and_no_heads_are_none(tmp_path: Path) -> None:
    written(tmp_path / "heads", ["u"])
    with pytest.raises(UserError, match="base"):
        UserHeads.open(tmp_path / "heads", "another")
    assert UserHeads.open(tmp_path / "nothing", "base") is None
