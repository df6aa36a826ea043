import numpy as np

from hydra_ray.core.tasks import load_task
from hydra_ray.pipeline.evaluation import pick

TAGGING, RATING = load_task("synthetic_tagging"), load_task("lamp_3")
LOG_ODDS = np.asarray([1.0, 0.9, 0.0], dtype=np.float32)


def test_best_is_the_highest_score_and_weighted_counts_samples() -> None:
    labels = TAGGING.labels[:3]
    assert pick(TAGGING, labels, LOG_ODDS, [1, 7, 0], "best") == labels[0]
    assert pick(TAGGING, labels, LOG_ODDS, [1, 7, 0], "weighted") == labels[1]


def test_an_own_answer_without_a_sample_can_win_a_weighted_vote() -> None:
    log_odds = np.asarray([-4.0, 4.0], dtype=np.float32)
    assert pick(TAGGING, TAGGING.labels[:2], log_odds, [8, 0], "weighted") == TAGGING.labels[1]


def test_where_mae_counts_the_median_of_the_vote_wins() -> None:
    assert pick(RATING, ["1", "4", "5"], LOG_ODDS, [3, 3, 3], "best") == "1"
    assert pick(RATING, ["1", "4", "5"], LOG_ODDS, [3, 3, 3], "weighted") == "4"
