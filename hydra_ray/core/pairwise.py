"""Which methods differ: every pair by a paired bootstrap over users, corrected for how many pairs are looked at.

The test inverts the percentile interval: p is twice the share of resamples in which the difference is not on the side
on which it was measured, so that p is below 5 % exactly where the 95 % interval leaves zero out (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapter 15). Few users make that too optimistic: where only n of them see a
difference, no p is below 2^(1-n), what n fair coins would give. Holm's step-down procedure (1979) keeps the probability
of a single wrong claim among all pairs at 5 %, whatever depends on what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hydra_ray.core.bootstrap import BootstrapResult, bootstrap
from hydra_ray.core.metrics import Floats, additive
from hydra_ray.core.tasks import Task
from hydra_ray.core.user_effects import Interval, group_users, interval, user_sums

LEVEL = 0.05
"""Of all pairs together."""
RESAMPLES_A_PAIR = 200
"""The smallest p that n resamples can give is 2 / (n + 1). With so many for each pair, one that no resample contradicts
keeps p at a hundredth after Holm's correction."""
_SAME = 1e-12


@dataclass(frozen=True, slots=True)
class Pair:
    """Two methods on the same questions, by the task's primary metric.

    Attributes:
        method: One of them.
        other: The other one.
        difference: How much better `method` is, in the metric's unit; below zero it is worse, for errors as well.
        ci95: The 95 % percentile interval of the difference over users.
        p: Two-sided, of this pair alone.
        p_holm: Corrected for all pairs.
    """

    method: str
    other: str
    difference: float
    ci95: Interval
    p: float
    p_holm: float

    @property
    def shown(self) -> bool:
        """Whether a difference is shown at `LEVEL`, all pairs considered."""
        return self.p_holm <= LEVEL


def resamples_for(methods: int, least: int) -> int:
    """Resamples that the correction for all pairs of so many methods needs, `least` or more."""
    return max(least, RESAMPLES_A_PAIR * (methods * (methods - 1) // 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, by position: reject what is at most the level, and the family's error keeps to it."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def least_p(users_that_differ: int) -> float:
    """The least p that a difference can have if so many users see one: what as many fair coins would give."""
    return min(1.0, 2.0 ** (1 - users_that_differ))


def parts_by_user(task: Task, user_ids: Sequence[str], golds: Sequence[str], preds: Sequence[str | None]) -> Floats:
    """What the primary metric is computed from, float64 [users, s]: two wrong labels are alike in accuracy, but not in
    macro-F1. All columns by row."""
    users, user_of_row = group_users(user_ids)
    return user_sums(additive(task, golds, preds).rows, user_of_row, len(users))


def users_that_differ(parts: Floats, other: Floats) -> int:
    """Users whose answers count differently in the metric between two methods, of both their `parts_by_user`."""
    return int((np.abs(parts - other) > _SAME).any(axis=1).sum())


def bootstrap_p(draws: Floats, differing: int) -> float:
    """The two-sided p of a difference.

    Args:
        draws: float64 [resamples], the difference on each.
        differing: See `users_that_differ`.
    """
    tail = min(int((draws <= _SAME).sum()), int((draws >= -_SAME).sum()))
    return min(1.0, max(2 * (tail + 1) / (len(draws) + 1), least_p(differing)))


def pairwise(
    task: Task,
    user_ids: Sequence[str],
    golds: Sequence[str],
    methods: Mapping[str, Sequence[str | None]],
    least: int = 10_000,
    seed: int = 0,
) -> list[Pair]:
    """Every pair of methods, in their order. All columns by row.

    Args:
        task: Whose primary metric is compared.
        user_ids: Of the rows.
        golds: Of the rows.
        methods: Name -> answers by row, None where there is none.
        least: Resamples of the users at least.
        seed: Of the resamples.

    Raises:
        ValueError: As `bootstrap` does.
    """
    sampled = bootstrap(task, user_ids, golds, methods, resamples_for(len(methods), least), seed)
    parts = {name: parts_by_user(task, user_ids, golds, preds) for name, preds in methods.items()}
    pairs = list(combinations(methods, 2))
    found = [_difference(task, sampled[one], sampled[other]) for one, other in pairs]
    differing = [users_that_differ(parts[one], parts[other]) for one, other in pairs]
    p_values = [bootstrap_p(draws, count) for (_, draws), count in zip(found, differing, strict=True)]
    return [
        Pair(*names, value, interval(draws), p, corrected)
        for names, (value, draws), p, corrected in zip(pairs, found, p_values, holm(p_values), strict=True)
    ]


def _difference(task: Task, method: BootstrapResult, other: BootstrapResult) -> tuple[float, Floats]:
    sign = 1.0 if task.higher_is_better else -1.0
    return sign * (method.value - other.value), sign * (method.draws - other.draws)
