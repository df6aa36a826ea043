"""The best and the worst answer of a pool of retrievers, and how often a best one is chosen."""

import numpy as np
import pytest

from hydra_ray.core.labeling import Row
from hydra_ray.core.retriever_pool import (
    agreement,
    best_and_worst,
    pool_examples,
    pool_scores,
    share_over_users,
    successes,
)
from hydra_ray.core.tasks import load_task

Pool = dict[str, list[str | None]]
RATING, HEADLINE = load_task("lamp_3"), load_task("lamp_4")


def test_of_ratings_the_nearest_is_the_best_and_ties_go_to_the_first() -> None:
    pool: Pool = {"none": ["3", "5"], "bm25": ["5", "4"], "dense": ["5", "4.0"]}
    assert best_and_worst(RATING, ["5", "4"], pool) == (("5", "4"), ("3", "5"))
    scores = pool_scores(RATING, ["5", "4"], pool)
    none, _, dense = scores
    assert successes(scores, none).tolist() == [False, False]
    assert successes(scores, dense).tolist() == [True, True]


def test_a_missing_answer_is_the_worst_unless_all_are_missing() -> None:
    pool: Pool = {"none": ["old mill burns", None], "bm25": [None, None]}
    best, worst = best_and_worst(HEADLINE, ["old mill burns", "rain"], pool)
    assert (best, worst) == (("old mill burns", None), (None, None))
    scores = pool_scores(HEADLINE, ["old mill burns", "rain"], pool)
    _, bm25 = scores
    assert successes(scores, bm25).tolist() == [False, True]


def test_the_interval_of_a_share_is_over_users() -> None:
    hits = np.array([True] * 8 + [False, True])
    share, (low, high) = share_over_users(["a"] * 8 + ["b", "c"], hits, 2000)
    assert share == pytest.approx(0.9)
    # Only draws of user b alone miss every question, and those of no b none.
    assert low == pytest.approx(0.0)
    assert high == 1.0
    assert share_over_users(["a", "b"], np.array([True, True])) == (1.0, (1.0, 1.0))


def test_agreement_is_the_share_of_the_other_answers_that_are_the_same() -> None:
    assert agreement(RATING, ["5", "Score: 5.0", "4", None, "I cannot say"]) == [0.5, 0.5, 0.0, 0.0, 0.0]
    assert agreement(RATING, ["5", None]) == [0.0, 0.0]
    assert agreement(HEADLINE, ["old mill burns", "old mill burns", "rain"]) == [0.5, 0.5, 0.0]


def test_a_training_query_has_the_reward_of_each_retrievers_answer() -> None:
    row = Row("u", "q:1", "text", "5", ("alone", "with items", "with others"), (), (("4",), (), ("5",)))
    (found,) = pool_examples(RATING, [row])
    assert (found.user_id, found.prompts, found.answers) == ("u", row.candidates, ("4", None, "5"))
    assert found.rewards[::2] == (0.75, 1.0)
    assert np.isnan(found.rewards[1])
    assert found.agreement == (0.0, 0.0, 0.0)
