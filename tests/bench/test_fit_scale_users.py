"""The users that the bench fits."""

from pathlib import Path

import numpy as np

from hydra_ray.bench.fit_scale_users import ROWS, draw, drawn_fit, encoding, make_config, texts, user_id
from hydra_ray.core.hashing import bucket_of


def test_every_user_is_drawn_once_in_the_bucket_of_its_id(tmp_path: Path) -> None:
    config = make_config("linear", 3_000)
    fit = drawn_fit(config, 300, tmp_path)
    scorer = fit.scorer()
    found = [(user.user_id, bucket) for bucket in list(fit.by_bucket()) for user in fit.encoded(scorer, bucket)]
    assert sorted(user for user, _ in found) == [user_id(i) for i in range(300)]
    assert all(bucket == bucket_of(user, config.data.buckets) for user, bucket in found)
    assert fit.head(scorer).width == fit.encoded(scorer, 0)[0].z.shape[1]


def test_a_taste_can_be_learned() -> None:
    (user,) = draw(["a"], 68, 0)
    assert user.z.shape == (ROWS, 68)
    assert 0.2 < user.label.mean() < 0.8
    assert np.array_equal(draw(["a"], 68, 0)[0].z, user.z)
    taste, *_ = np.linalg.lstsq(np.tanh(user.z), user.label - 0.5, rcond=None)
    assert (((np.tanh(user.z) @ taste) > 0) == (user.label > 0.5)).mean() > 0.9


def test_users_with_texts_have_the_same_shape() -> None:
    (examples,) = texts(1)
    assert sum(example.labelled for example in examples) == ROWS
    assert encoding(1)["s_per_1000"] > 0
