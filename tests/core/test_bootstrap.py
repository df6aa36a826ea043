"""The paired bootstrap over users."""

import random
import time

import numpy as np
import pytest

from hydra_ray.core.bootstrap import bootstrap, compare, per_user_scores
from hydra_ray.core.metrics import score_all
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.user_effects import interval

TAGS, RATING = load_task("lamp_2m"), load_task("lamp_3")
Rows = tuple[list[str], list[str], list[str], list[str]]


def _rows(users: int = 100, each: int = 4, ours: float = 0.75, theirs: float = 0.5, seed: int = 0) -> Rows:
    draw = random.Random(seed)
    ids = [f"u{i}" for i in range(users) for _ in range(each)]
    golds = [draw.choice(TAGS.labels) for _ in ids]
    wrong = "no label"
    method = [gold if draw.random() < ours else wrong for gold in golds]
    baseline = [gold if draw.random() < theirs else wrong for gold in golds]
    return ids, golds, method, baseline


def test_gain_and_shares_by_hand() -> None:
    ids = ["a", "a", "b", "c"]
    golds = ["comedy"] * 4
    result = compare(TAGS, ids, golds, ["comedy", "comedy", "x", "comedy"], ["comedy", "x", "comedy", "comedy"])
    assert (result.method, result.baseline) == (0.75, 0.75)
    assert (result.relative_gain, result.difference) == (0.0, 0.0)
    assert (result.users.helped, result.users.harmed) == pytest.approx((1 / 3, 1 / 3))


def test_where_lower_is_better_the_gain_is_the_share_of_the_error_that_is_gone() -> None:
    result = compare(RATING, ["a", "b"], ["5", "5"], ["5", "4"], ["3", "3"])
    assert (result.method, result.baseline) == (0.5, 2.0)
    assert result.relative_gain == pytest.approx(0.75)
    assert result.difference == pytest.approx(1.5)
    assert (result.users.helped, result.users.harmed) == (1.0, 0.0)


def test_rmse_is_the_root_of_each_resamples_mean() -> None:
    task = RATING.model_copy(update={"primary_metric": "rmse"})
    result = bootstrap(task, ["a", "b"], ["5", "5"], {"m": ["4", "3"]}, count=500)["m"]
    assert result.value == pytest.approx(2.5**0.5)
    assert set(np.round(result.draws, 6)) == {1.0, 2.0, round(2.5**0.5, 6)}


def test_the_interval_covers_a_known_gain_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        low, high = compare(TAGS, *_rows(seed=seed), count=600, seed=seed).relative_gain_ci95
        covered += low <= 0.5 <= high  # .75 over .5
    assert 51 <= covered <= 60


def test_users_not_questions_are_resampled() -> None:
    """Questions that all go the same way for a user carry no more evidence than one of them."""
    ids, golds, method, baseline = _rows(users=40, each=1)

    def width(times: int) -> float:
        columns = [[x for x in column for _ in range(times)] for column in (ids, golds, method, baseline)]
        low, high = compare(TAGS, *columns, count=2000).difference_ci95
        return high - low

    assert width(10) == pytest.approx(width(1))


def test_the_order_of_rows_changes_nothing() -> None:
    rows = list(zip(*_rows(), strict=True))
    shuffled = random.Random(5).sample(rows, len(rows))
    first = compare(TAGS, *map(list, zip(*rows, strict=True)), count=1000)
    assert compare(TAGS, *map(list, zip(*shuffled, strict=True)), count=1000) == first


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_a_resample_is_the_metric_of_the_repeated_rows(metric: str) -> None:
    ids, golds, method, _ = _rows(users=2, each=3)
    task = Task.model_validate({**TAGS.model_dump(), "primary_metric": metric})
    drawn = set(np.round(bootstrap(task, ids, golds, {"m": method}, count=200)["m"].draws, 9))
    possible = [
        score_all(task, [golds[i] for i in picked], [method[i] for i in picked])[metric]
        for picked in ([0, 1, 2] * 2, [3, 4, 5] * 2, [0, 1, 2, 3, 4, 5])
    ]
    assert drawn == set(np.round(possible, 9))


def test_a_baseline_of_zero() -> None:
    result = compare(TAGS, ["a", "b"], ["comedy"] * 2, ["comedy"] * 2, ["x"] * 2, count=100)
    assert result.relative_gain == float("inf")
    equal = compare(TAGS, ["a", "b"], ["comedy"] * 2, ["x"] * 2, ["x"] * 2, count=100)
    assert equal.relative_gain == 0.0
    assert equal.relative_gain_ci95 == (0.0, 0.0)


def test_interval_is_deterministic_and_ordered() -> None:
    rows = _rows()
    assert compare(TAGS, *rows, count=500, seed=3) == compare(TAGS, *rows, count=500, seed=3)
    assert interval(np.arange(1000.0)) == (24.0, 974.0)


def test_per_user_scores_are_in_the_order_of_the_ids() -> None:
    scores = per_user_scores(TAGS, ["b", "a", "b"], ["comedy"] * 3, ["comedy", "x", "x"])
    assert scores.tolist() == [0.0, 0.5]


def test_ten_thousand_resamples_are_quick() -> None:
    rows = _rows(users=50, each=3)
    start = time.process_time()
    compare(TAGS, *rows)
    assert time.process_time() - start < 1.0


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compare(TAGS, [], [], [], [])
