import numpy as np
import pytest
from scipy import stats

from hydra_ray.core.paired_tests import paired_test, paired_tests

RNG = np.random.default_rng(3)


def test_the_t_test_is_scipys() -> None:
    first, second = RNG.normal(size=40), RNG.normal(0.2, size=40)
    found = paired_test("rouge-1", first, second)
    assert found["p"] == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found["difference"] == pytest.approx(first.mean() - second.mean())
    low, high = found["ci95"]
    assert low < found["difference"] < high


def test_mcnemar_by_hand() -> None:
    # Five questions that one side alone has right, one that the other has: 2 * (1 + 6) / 2^6.
    first, second = np.array([1, 1, 1, 1, 1, 0, 1, 0.0]), np.array([0, 0, 0, 0, 0, 1, 1, 0.0])
    assert paired_test("accuracy", first, second)["p"] == pytest.approx(14 / 64)


def test_equal_sides_and_single_questions() -> None:
    same = np.array([0.5, 1.0])
    assert paired_test("rouge-1", same, same)["p"] == 1
    assert paired_test("accuracy", same, same)["p"] == 1
    assert paired_test("rouge-1", np.array([1.0]), np.array([0.0]))["p"] is None
    assert paired_test("rouge-1", np.array([1.0, 1.0]), np.array([0.5, 0.5]))["p"] == 0


def test_every_shared_measure_is_tested() -> None:
    values = {"absolute_error": np.array([1.0, 2.0]), "squared_error": np.array([1.0, 4.0])}
    assert set(paired_tests(values, values)) == set(values)
