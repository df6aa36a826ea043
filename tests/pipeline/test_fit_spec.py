"""What a fit reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.pipeline.fit_spec import encode
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import UserFeatures
from tests.pipeline.fitted_buckets import fitted
from tests.pipeline.fitted_world import make_config, make_fit, users, write_answers

TEST_USERS = sorted(user.user_id for user, _ in users() if user.split == "test")


def test_encodings_are_computed_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = make_fit(world, make_config(world), world / "answered")
    one = fitted(fit, world / "one")
    monkeypatch.setattr("hydra_ray.pipeline.fit_spec.encode", lambda *_: pytest.fail("encoded again"))
    two = fitted(fit, world / "two")
    assert all(np.array_equal(one[user], two[user]) for user in one)


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
