from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline.fit_buckets import FitBuckets
from hydra_ray.pipeline.fit_records import count_fitted, record_file
from hydra_ray.pipeline.fit_spec import FitSpec, encode
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.artifacts.user_heads import FOLDER, new_store
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import UserFeatures
from hydra_ray.training.user_fit.padded_users import NonFiniteError
from tests.pipeline.fitted_world import make_config, make_fit, users, write_answers, write_base

TUNED = {"l2": 0.01}
TEST_USERS = sorted(user.user_id for user, _ in users() if user.split == "test")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_base(tmp_path, make_config(tmp_path))
    write_answers(tmp_path / "answered")
    return tmp_path


def fitted(fit: FitSpec, out: Path, batch: int = 1) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """All users' output weights, fitted without Ray in runs of `batch` buckets."""
    import json

    store = new_store(out, fit.spec(fit.scorer()))
    buckets = list(fit.by_bucket())
    parts = [buckets[i : i + batch] for i in range(0, len(buckets), batch)]
    FitBuckets(fit, TUNED, out)({"buckets": parts})
    store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in buckets], replace=True)
    ids = store.users()
    return dict(zip(ids, store.get(ids)[1]["out_weight"], strict=True))


def test_users_are_fitted_alike_however_buckets_are_cut_and_whatever_fits_a_batch(world: Path) -> None:
    config = make_config(world)
    one = fitted(make_fit(world, config, world / "answered"), world / "one")
    assert set(one) <= set(TEST_USERS)
    assert count_fitted(world / "one")["users"] == len(TEST_USERS)
    small = make_config(world, batch_users=2)
    two = fitted(make_fit(world, small, world / "answered"), world / "two", batch=8)
    assert one.keys() == two.keys()
    for user, value in one.items():
        assert np.allclose(value, two[user], atol=1e-6)
        assert np.abs(value).max() > 0


def test_encodings_are_computed_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = make_fit(world, make_config(world), world / "answered")
    one = fitted(fit, world / "one")
    monkeypatch.setattr("hydra_ray.pipeline.fit_spec.encode", lambda *_: pytest.fail("encoded again"))
    two = fitted(fit, world / "two")
    assert all(np.array_equal(one[user], two[user]) for user in one)


def test_since_fits_only_users_whose_rows_have_changed(world: Path) -> None:
    config, changed = make_config(world), TEST_USERS[2]
    before = fitted(make_fit(world, config, world / "answered"), world / "before")
    write_answers(world / "later", more=changed)
    after = fitted(make_fit(world, config, world / "later", world / "before"), world / "after")
    assert count_fitted(world / "after")["reused"] == len(TEST_USERS) - 1
    for user in set(before) - {changed}:
        assert np.array_equal(before[user], after[user])
    assert not np.array_equal(before[changed], after[changed])


def test_since_encodes_only_users_whose_rows_have_changed(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, changed = make_config(world), TEST_USERS[2]
    fitted(make_fit(world, config, world / "answered"), world / "before")
    write_answers(world / "later", more=changed)
    full = fitted(make_fit(world, config, world / "later"), world / "full")
    fit = replace(make_fit(world, config, world / "later", world / "before"), features=world / "not kept")
    encoded: list[str] = []

    def counted(scorer: TrainedScorer, users: Sequence[list[RankingExample]]) -> list[UserFeatures]:
        encoded.extend(examples[0].user_id for examples in users)
        return encode(scorer, users)

    monkeypatch.setattr("hydra_ray.pipeline.fit_spec.encode", counted)
    after = fitted(fit, world / "after")
    assert encoded == [changed]
    assert after.keys() == full.keys()
    assert not fit.features.exists()


def test_a_batch_that_cannot_be_fitted_is_refused_with_the_users_id(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NonFiniteError("fitted heads", 1, 1, 8)

    monkeypatch.setattr("hydra_ray.pipeline.fit_buckets.solver.solve_heads", fails)
    fit, out = make_fit(world, make_config(world), world / "answered"), world / "out"
    new_store(out, fit.spec(fit.scorer()))
    with pytest.raises(UserError) as error:
        FitBuckets(fit, TUNED, out)({"buckets": [list(fit.by_bucket())]})
    words = [f"fitted heads of user {user!r} are NaN or infinite (1 of 8 users" for user in TEST_USERS]
    assert any(text in str(error.value) for text in words)


def test_a_warm_start_begins_at_the_earlier_head(world: Path) -> None:
    no_epochs_left = make_config(world, epochs=1, lr=1e-9, early_stop_margin_se=2.0)
    before = fitted(make_fit(world, make_config(world), world / "answered"), world / "before")
    write_answers(world / "later", more=TEST_USERS[2])
    after = fitted(make_fit(world, no_epochs_left, world / "later", world / "before"), world / "after")
    assert np.allclose(after[TEST_USERS[2]], before[TEST_USERS[2]], atol=1e-6)


def test_shrunk_heads_are_solved_on_the_base_of_linear_ones(world: Path) -> None:
    config = make_config(world, "bayesian_linear")
    fit = make_fit(world, config, world / "answered")
    out = world / "bayesian_linear"
    new_store(out, fit.spec(fit.scorer()))
    FitBuckets(fit, {"precision": [1.0] * 9}, out)({"buckets": [list(fit.by_bucket())]})
    assert HeadStore.open(str(out / FOLDER)).spec.kind == "bayesian_linear"
    assert count_fitted(out) == {"users": 8, "with_rows": 8, "kept_shared_head": 0, "guarded": 0, "reused": 0}


def test_a_broken_file_of_features_is_one_line_and_finished_buckets_stay(world: Path) -> None:
    fit, out = make_fit(world, make_config(world, batch_users=1), world / "answered"), world / "out"
    new_store(out, fit.spec(fit.scorer()))
    first, second, *_ = fit.by_bucket()
    fit.features.mkdir()
    (fit.features / f"bucket-{second:06d}.arrow").write_bytes(b"not Arrow")
    with pytest.raises(UserError, match=r"remove it, and it is made again$"):
        FitBuckets(fit, TUNED, out)({"buckets": [[first, second]]})
    assert record_file(out, first).exists()
    assert not record_file(out, second).exists()


def test_since_takes_no_heads_of_another_base_or_kind(world: Path) -> None:
    config = make_config(world)
    fitted(make_fit(world, config, world / "answered"), world / "before")
    other = make_config(world, "bayesian_linear")
    fit, out = make_fit(world, other, world / "answered", world / "before"), world / "after"
    new_store(out, fit.spec(fit.scorer()))
    with pytest.raises(UserError, match="linear") as error:
        FitBuckets(fit, {"precision": [1.0] * 9}, out)({"buckets": [list(fit.by_bucket())]})
    assert "bayesian_linear" in str(error.value)


def test_a_user_without_rows_is_counted(world: Path) -> None:
    fit, out = make_fit(world, make_config(world), world / "answered"), world / "out"
    more = replace(fit, chosen=(*fit.chosen, "nobody"))
    fitted(more, out)
    assert count_fitted(out) == {"users": 9, "with_rows": 8, "kept_shared_head": 0, "guarded": 0, "reused": 0}


def test_who_is_guarded_is_counted_and_gets_no_head(world: Path) -> None:
    free = fitted(make_fit(world, make_config(world), world / "answered"), world / "free")
    heads = fitted(make_fit(world, make_config(world, guard=4), world / "answered"), world / "guarded")
    found = count_fitted(world / "guarded")
    assert found["guarded"] == found["kept_shared_head"] == len(free) - len(heads) == 1
    assert all(np.array_equal(value, free[user]) for user, value in heads.items())
