"""Who gains and who loses, against what chance alone would do."""

import numpy as np
import pytest

from hydra_ray.core.user_effects import UserEffects, sign_flips, user_effects


def effects(of_users: list[list[float]], count: int = 2000) -> UserEffects:
    users = [f"u{i}" for i, gaps in enumerate(of_users) for _ in gaps]
    questions = [str(j) for gaps in of_users for j in range(len(gaps))]
    gap = np.array([x for gaps in of_users for x in gaps], dtype=np.float64)
    return user_effects(users, questions, {"": gap}, count)[""]


def test_random_signs_of_few_differences_are_counted_out() -> None:
    # -1 -1 +1: sums of 3 signs are -3, -1, 1, 3 with 1, 3, 3, 1 of 8; none is zero.
    assert sign_flips((-1.0, -1.0, 1.0, 0.0)) == (0.5, 0.5)
    # Two differences: 0 half of the time.
    assert sign_flips((-1.0, -1.0)) == (0.25, 0.25)
    assert sign_flips((0.0,)) == (0.0, 1.0)
    assert sign_flips((-1.0,) * 5) == (0.5, 1 / 32)


def test_more_differences_than_can_be_counted_out_are_drawn() -> None:
    rng = np.random.default_rng(0)
    some = tuple(float(x) for x in rng.normal(-0.5, 1, 30))
    lost, as_large = sign_flips(some)
    sigma = np.sqrt(np.sum(np.square(some)))
    # The sum of random signs is nearly normal.
    normal = float(np.mean(rng.normal(0, sigma, 100_000) <= sum(some)))
    assert lost == 0.5
    assert as_large == pytest.approx(normal, abs=0.02)


def test_harmed_as_often_as_by_chance_is_no_excess() -> None:
    found = effects([[1.0], [-1.0]] * 50 + [[0.0]] * 100)
    assert (found.helped, found.harmed) == (0.25, 0.25)
    assert (found.helped_excess, found.harmed_excess) == (0.0, 0.0)
    low, high = found.harmed_excess_ci95
    assert low < 0 < high
    assert (found.harmed_clear, found.testable) == (0.0, 0.0)


def test_who_is_harmed_on_every_one_of_five_questions_is_clearly_harmed() -> None:
    found = effects([[-1.0] * 5] * 3 + [[1.0] * 5] * 6 + [[-1.0] * 4])
    assert found.harmed_clear == pytest.approx(0.3)
    assert found.testable == pytest.approx(0.9)
    low, high = found.harmed_clear_ci95
    assert low < 0.3 < high


def test_seeds_of_one_question_are_one_question() -> None:
    gap = np.array([-1.0] * 6)
    once = user_effects(["u"] * 6, ["q"] * 6, {"": gap}, 100)[""]
    assert (once.harmed, once.harmed_clear, once.testable) == (1.0, 0.0, 0.0)


def test_equal_methods_harm_clearly_no_more_users_than_the_level() -> None:
    """Six questions a user on which the answers differ by luck: at most 5 % are called harmed."""
    rng = np.random.default_rng(1)
    found = effects(rng.choice([-1.0, 1.0], size=(2000, 6)).tolist(), count=100)
    assert found.harmed_clear == pytest.approx(1 / 64, abs=0.01)
    assert found.harmed_excess == pytest.approx(0, abs=0.04)
    shifted = effects((rng.random((2000, 6)) < 0.15).astype(float).__mul__(2).__rsub__(1).tolist(), count=100)
    assert shifted.helped_excess > 0.4
    assert shifted.harmed_excess < -0.2
