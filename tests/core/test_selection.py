"""What an adapter chooses from: votes, the user's own majority, argmax."""

import math
from collections.abc import Sequence

import pytest

from hydra_ray.core.features import AnswerFrequency
from hydra_ray.core.selection import (
    argmax,
    candidate_weights,
    candidates_of,
    select_candidate,
    self_consistency,
    top_k,
    user_majority,
    weighted_median,
)
from hydra_ray.core.tasks import Task, load_task

TAGS, RATING, HEADLINE = load_task("lamp_2m"), load_task("lamp_3"), load_task("lamp_4")
OWN = {"romance": AnswerFrequency(1, 1.0, 1.0), "action": AnswerFrequency(4, 1.0, 1.0)}


def test_samples_come_first_as_they_came_then_the_users_own_by_frequency() -> None:
    made = candidates_of(TAGS, ["comedy", None, "Tag: action", "no label", "comedy"], OWN, True)
    assert made.texts == ("comedy", "action", "romance")
    assert made.votes == (2, 1, 0)
    assert made.samples == ("comedy", "action", "comedy")


def test_without_the_users_own() -> None:
    assert candidates_of(TAGS, ["comedy"], OWN, False).texts == ("comedy",)
    assert candidates_of(TAGS, [None], OWN, False).texts == ()


def test_self_consistency_counts_normalised_answers() -> None:
    assert self_consistency(TAGS, ["action", "Comedy", "Tag: comedy", None, ""]) == "comedy"
    assert self_consistency(TAGS, ["action", "comedy", "comedy", "action"]) == "action"
    assert self_consistency(RATING, ["4.0", "5", "four"]) == "4"
    assert self_consistency(TAGS, [None, "", "no label"]) == ""
    assert self_consistency(TAGS, []) == ""


def test_self_consistency_of_texts_is_the_closest_to_the_others() -> None:
    assert self_consistency(HEADLINE, ["x y z", "a b c e", "a b c d", "a b q d", None]) == "a b c d"
    assert self_consistency(HEADLINE, ["a b", "c d"]) == "a b"
    assert self_consistency(HEADLINE, ["only one"]) == "only one"


def test_user_majority() -> None:
    assert user_majority(TAGS, ["comedy", "action", "Action", "comedy", "classic"]) == "comedy"
    assert user_majority(TAGS, ["comedy", "comedy", "action", "action"]) == "action"
    assert user_majority(TAGS, [], "romance") == "romance"
    assert user_majority(TAGS, ["", ""]) == ""
    assert user_majority(HEADLINE, ["old one", "new one"]) == "new one"


def test_user_majority_of_ratings_suits_the_metric() -> None:
    assert user_majority(RATING, ["1", "5", "5", "4"]) == "5"
    rmse = RATING.model_copy(update={"primary_metric": "rmse"})
    assert user_majority(rmse, ["1", "5", "5", "4"]) == "3.75"


def test_argmax_and_top_k() -> None:
    assert argmax([None, 0.5, math.nan, 0.5, 0.1]) == 1
    assert top_k([0.1, 0.9, None, 0.9, 0.3], 3) == [1, 3, 4]
    assert top_k([], 3) == []
    with pytest.raises(ValueError, match="no candidate"):
        argmax([None, math.nan])


def test_the_weighted_median_splits_the_weight() -> None:
    assert weighted_median(["1", "5", "4"], [0.2, 0.3, 0.6]) == "4"
    assert weighted_median(["1", "5"], [1.0, 1.0]) == "1"
    assert weighted_median(["3"], [0.0]) == "3"
    with pytest.raises(ValueError, match="no numbers"):
        weighted_median([], [])


def chosen(task: Task, candidates: Sequence[str], scores: Sequence[float], votes: Sequence[int], select: str) -> str:
    return candidates[select_candidate(task, candidates, candidate_weights(scores, votes, select), select)]


def test_best_is_the_highest_score_and_weighted_counts_samples() -> None:
    assert chosen(TAGS, ["a", "b", "c"], [1.0, 0.9, 0.0], [1, 7, 0], "best") == "a"
    assert chosen(TAGS, ["a", "b", "c"], [1.0, 0.9, 0.0], [1, 7, 0], "weighted") == "b"


def test_an_own_answer_without_a_sample_can_win_a_weighted_vote() -> None:
    assert chosen(TAGS, ["a", "b"], [-4.0, 4.0], [8, 0], "weighted") == "b"


def test_where_mae_counts_the_median_of_the_vote_wins() -> None:
    assert chosen(RATING, ["1", "4", "5"], [1.0, 0.9, 0.0], [3, 3, 3], "best") == "1"
    assert chosen(RATING, ["1", "4", "5"], [1.0, 0.9, 0.0], [3, 3, 3], "weighted") == "4"
