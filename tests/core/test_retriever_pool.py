"""The best and the worst answer of a pool of retrievers, and how often a best one is chosen."""

import numpy as np
import pytest

from hydra_ray.core.retriever_pool import best_and_worst, share_over_users, successes
from hydra_ray.core.tasks import load_task

Pool = dict[str, list[str | None]]
RATING, HEADLINE = load_task("lamp_3"), load_task("lamp_4")


def test_of_ratings_the_nearest_is_the_best_and_ties_go_to_the_first() -> None:
    pool: Pool = {"none": ["3", "5"], "bm25": ["5", "4"], "dense": ["5", "4.0"]}
    assert best_and_worst(RATING, ["5", "4"], pool) == (("5", "4"), ("3", "5"))
    assert successes(RATING, ["5", "4"], pool, pool["none"]).tolist() == [False, False]
    assert successes(RATING, ["5", "4"], pool, pool["dense"]).tolist() == [True, True]


def test_a_missing_answer_is_the_worst_unless_all_are_missing() -> None:
    pool: Pool = {"none": ["old mill burns", None], "bm25": [None, None]}
    best, worst = best_and_worst(HEADLINE, ["old mill burns", "rain"], pool)
    assert (best, worst) == (("old mill burns", None), (None, None))
    assert successes(HEADLINE, ["old mill burns", "rain"], pool, pool["bm25"]).tolist() == [False, True]


def test_the_interval_of_a_share_is_over_users() -> None:
    hits = np.array([True] * 8 + [False, True])
    share, (low, high) = share_over_users(["a"] * 8 + ["b", "c"], hits, 2000)
    assert share == pytest.approx(0.9)
    # Only draws of user b alone miss every question, and those of no b none.
    assert low == pytest.approx(0.0)
    assert high == 1.0
    assert share_over_users(["a", "b"], np.array([True, True])) == (1.0, (1.0, 1.0))
