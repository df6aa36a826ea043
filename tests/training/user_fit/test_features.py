from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import features_of, fingerprint_of, load_features, rounded, save_features

NAN = float("nan")


def examples(user: str) -> list[RankingExample]:
    return [
        RankingExample(user, 3, "p:1", "a", ("x", "y"), (1.0, NAN)),
        RankingExample(user, 3, "p:2", "b", ("x", "y", "z"), (0.0, 1.0, 0.0)),
    ]


def pair_embeddings(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 4)).astype(np.float32) for n in (2, 3)]


def test_what_is_kept_comes_back_in_half_precision(tmp_path: Path) -> None:
    users = [features_of(examples(user), pair_embeddings(i)) for i, user in enumerate(("ann", "böb\n'\""))]
    assert users[0].query.tolist() == [0, 1, 1, 1]
    assert users[0].label.tolist() == [1, 0, 1, 0]
    save_features(users, 4, tmp_path / "f" / "bucket-000003.arrow")
    back = load_features(tmp_path / "f" / "bucket-000003.arrow")
    for one, two in zip(users, back, strict=True):
        assert (one.user_id, one.fingerprint) == (two.user_id, two.fingerprint)
        assert one.query.tolist() == two.query.tolist()
        assert one.label.tolist() == two.label.tolist()
        assert np.allclose(one.z, two.z, rtol=2**-11)
        assert np.array_equal(rounded(one).z, two.z)


def test_a_bucket_without_users_and_a_user_without_labels(tmp_path: Path) -> None:
    save_features([], 4, tmp_path / "empty.arrow")
    assert load_features(tmp_path / "empty.arrow") == []
    nothing = features_of([RankingExample("u", 0, "p:1", "a", ("x",), (NAN,))], [np.zeros((1, 4), np.float32)])
    save_features([nothing], 4, tmp_path / "nothing.arrow")
    assert load_features(tmp_path / "nothing.arrow")[0].z.shape == (0, 4)


def test_an_encoding_that_is_not_finite_names_the_user() -> None:
    bad = pair_embeddings(0)
    bad[1][0, 0] = np.inf
    with pytest.raises(UserError, match="user 'ann': a pair embedding is not finite"):
        features_of(examples("ann"), bad)


def test_a_broken_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "bucket-000001.arrow"
    save_features([features_of(examples("ann"), pair_embeddings(0))], 4, file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="remove it, and it is made again"):
        load_features(file)


def test_the_fingerprint_follows_the_rows() -> None:
    same, other = fingerprint_of(examples("a")), examples("a")
    assert same == fingerprint_of(examples("a"))
    assert same != fingerprint_of(other[:1])
    assert same != fingerprint_of([other[0], RankingExample("a", 3, "p:2", "b", ("x", "y", "z"), (0.0, 1.0, 1.0))])
