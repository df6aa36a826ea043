"""Hashes that stay what they are: heads, splits and seeds of earlier runs depend on them."""

from hydra_ray.core.hashing import bucket_of, split_of, stable_hash, stable_seed


def test_hashes_never_change() -> None:
    assert stable_hash("seed", 1).hex() == "bc50125280b25d88"
    assert stable_seed("seed", 1) == 1376932028
    assert [bucket_of(user, 16) for user in ("u1", "u2", "é")] == [2, 10, 11]
    assert [split_of(f"u{i}", 0.3) for i in (1, 2, 3, 4)] == ["train", "train", "train", "test"]


def test_parts_are_told_apart() -> None:
    assert stable_hash("a", "b") != stable_hash("ab")
    assert len(stable_hash("half \ud83d")) == 8


def test_split_share() -> None:
    share = sum(split_of(f"u{i}", 0.3) == "test" for i in range(5000)) / 5000
    assert 0.27 < share < 0.33
