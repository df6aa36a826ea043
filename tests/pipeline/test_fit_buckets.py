"""Buckets of users, fitted."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline.fit_buckets import FitBuckets
from hydra_ray.pipeline.fit_records import count_fitted, record_file
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import FOLDER, new_store
from hydra_ray.training.user_fit.padded_users import NonFiniteError
from tests.pipeline.fitted_buckets import TUNED, fitted
from tests.pipeline.fitted_world import make_config, make_fit, users

TEST_USERS = sorted(user.user_id for user, _ in users() if user.split == "test")


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
