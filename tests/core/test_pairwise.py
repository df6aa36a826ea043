"""Which methods differ, and how often a difference is claimed where there is none."""

import random

import numpy as np
import pytest

from hydra_ray.core.pairwise import bootstrap_p, holm, pairwise, resamples_for
from hydra_ray.core.tasks import load_task

TAGS, RATING = load_task("lamp_2m"), load_task("lamp_3")


def answers(chances: dict[str, float], users: int, seed: int) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """One question a user; each method is right with its chance."""
    draw = random.Random(seed)
    golds = ["comedy"] * users
    return (
        [f"u{i}" for i in range(users)],
        golds,
        {name: [("comedy" if draw.random() < chance else "x") for _ in golds] for name, chance in chances.items()},
    )


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_never_lets_a_larger_p_pass_a_smaller_one() -> None:
    p_values = np.random.default_rng(0).uniform(size=50).tolist()
    adjusted = holm(p_values)
    order = np.argsort(p_values)
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))


def test_p_is_below_five_per_cent_exactly_where_the_interval_leaves_zero_out() -> None:
    seen = set()
    for seed in range(40):
        (pair,) = pairwise(TAGS, *answers({"a": 0.7, "b": 0.58}, 150, seed), least=4000)
        outside = pair.ci95[0] > 0 or pair.ci95[1] < 0
        seen.add(outside)
        if not 0.045 < pair.p < 0.055:  # the interval's own grain
            assert (pair.p < 0.05) == outside
    assert seen == {True, False}


def test_equal_methods_are_told_apart_about_as_rarely_as_the_level_says() -> None:
    claims = sum(
        pairwise(TAGS, *answers({"a": 0.6, "b": 0.6}, 120, seed), least=1000, seed=seed)[0].p < 0.05
        for seed in range(300)
    )
    assert 3 <= claims <= 27  # 15 of 300 are 5 %


def test_a_family_of_equal_methods_makes_hardly_a_claim() -> None:
    chances = dict.fromkeys("abcdef", 0.6)
    alone, corrected = 0, 0
    for seed in range(60):
        pairs = pairwise(TAGS, *answers(chances, 120, seed), seed=seed)
        alone += any(pair.p <= 0.05 for pair in pairs)
        corrected += any(pair.shown for pair in pairs)
    assert corrected <= 8 < alone  # 3 of 60 are 5 %


def test_a_clear_difference_survives_the_correction_for_many_methods() -> None:
    chances = {f"m{i}": 0.5 for i in range(24)} | {"best": 0.95}
    pairs = pairwise(TAGS, *answers(chances, 120, 1))
    assert len(pairs) == 300
    assert all(pair.shown and pair.difference < 0 for pair in pairs if pair.other == "best")
    assert resamples_for(25, 10_000) == 60_000
    assert resamples_for(3, 10_000) == 10_000


def test_other_wrong_labels_are_a_difference_in_macro_f1() -> None:
    """Both methods are right about the same users; of the others, one spreads its mistakes over two labels."""
    task = TAGS.model_copy(update={"primary_metric": "macro_f1"})
    users, labels = [f"u{i}" for i in range(60)], task.labels
    golds = [labels[i % 3] for i in range(60)]
    one = [gold if i % 2 else labels[3] for i, gold in enumerate(golds)]
    other = [gold if i % 2 else labels[(i + 1) % 3] for i, gold in enumerate(golds)]
    (pair,) = pairwise(task, users, golds, {"one": one, "other": other}, least=400)
    assert min(pair.ci95) > 0 or max(pair.ci95) < 0
    assert pair.p < 0.05
    (same,) = pairwise(task, users, golds, {"one": one, "again": list(one)}, least=400)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_a_lower_error_is_the_better_one() -> None:
    users = [f"u{i}" for i in range(20)]
    pairs = pairwise(RATING, users, ["5"] * 20, {"near": ["4"] * 20, "far": ["2"] * 20}, least=200)
    assert (pairs[0].difference, pairs[0].ci95) == (2.0, (2.0, 2.0))
    assert pairs[0].shown


def test_few_users_never_show_more_than_as_many_coins() -> None:
    users = [f"u{i}" for i in range(4)]
    (pair,) = pairwise(TAGS, users, ["comedy"] * 4, {"a": ["comedy"] * 4, "b": ["x"] * 4}, least=1000)
    assert pair.p == 0.125
    assert bootstrap_p(np.ones(1000), 5) == 0.0625
    assert bootstrap_p(np.ones(999), 30) == 0.002


def test_the_same_answers_are_no_difference() -> None:
    users, golds, given = answers({"a": 0.5}, 30, 0)
    (pair,) = pairwise(TAGS, users, golds, given | {"b": given["a"]}, least=200)
    assert (pair.difference, pair.p, pair.p_holm) == (0.0, 1.0, 1.0)
