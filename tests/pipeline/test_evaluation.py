import numpy as np
import pytest

from hydra_ray.pipeline.evaluation import candidate_weights


def test_best_takes_the_highest_score_and_weighted_sums_equal_samples() -> None:
    log_odds = np.asarray([1.0, 0.5], dtype=np.float32)
    assert candidate_weights(log_odds, [1, 7], "best") == pytest.approx([1.0, 0.5])
    assert candidate_weights(log_odds, [1, 7], "weighted") == pytest.approx([0.7311, 7 * 0.6225], abs=1e-3)
