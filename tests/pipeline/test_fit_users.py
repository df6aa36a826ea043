import shutil
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline.fit_records import count_fitted
from hydra_ray.pipeline.fit_users import fit_users
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import FOLDER
from tests.pipeline.fitted_buckets import TUNED, fitted
from tests.pipeline.fitted_world import make_config, make_fit, users, write_answers

TEST_USERS = sorted(user.user_id for user, _ in users() if user.split == "test")


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


def test_since_fits_only_users_whose_rows_have_changed(world: Path) -> None:
    config, changed = make_config(world), TEST_USERS[2]
    before = fitted(make_fit(world, config, world / "answered"), world / "before")
    write_answers(world / "later", more=changed)
    after = fitted(make_fit(world, config, world / "later", world / "before"), world / "after")
    assert count_fitted(world / "after")["reused"] == len(TEST_USERS) - 1
    for user in set(before) - {changed}:
        assert np.array_equal(before[user], after[user])
    assert not np.array_equal(before[changed], after[changed])


def test_a_warm_start_begins_at_the_earlier_head(world: Path) -> None:
    no_epochs_left = make_config(world, epochs=1, lr=1e-9, early_stop_margin_se=2.0)
    before = fitted(make_fit(world, make_config(world), world / "answered"), world / "before")
    write_answers(world / "later", more=TEST_USERS[2])
    after = fitted(make_fit(world, no_epochs_left, world / "later", world / "before"), world / "after")
    assert np.allclose(after[TEST_USERS[2]], before[TEST_USERS[2]], atol=1e-6)


def test_a_few_users_are_fitted_without_ray(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunContext, "ray", lambda run: pytest.fail("needs no Ray"))
    config = make_config(world)
    fit = make_fit(world, config, world / "answered")
    on_a_worker = fitted(fit, world / "worker", batch=8)
    shutil.rmtree(fit.features)
    with RunContext(config) as run:
        found = fit_users(run, fit, TUNED, world / "driver")
    assert found["users"] == len(TEST_USERS)
    assert found["fit_s"] > found["publish_s"] > 0
    store = HeadStore.open(str(world / "driver" / FOLDER))
    ids = store.users()
    assert ids == list(on_a_worker)
    for user, value in zip(ids, store.get(ids)[1]["out_weight"], strict=True):
        assert np.allclose(value, on_a_worker[user], atol=1e-6)


def test_what_a_fit_cannot_use_is_said_in_one_line_without_ray_too(world: Path) -> None:
    config = make_config(world)
    fit = make_fit(world, config, world / "answered")
    fit.features.write_text("no folder")
    with RunContext(config) as run, pytest.raises(UserError, match=f"fit-{fit.component}: .*{fit.features.name}"):
        fit_users(run, fit, TUNED, world / "driver")
