"""What a difference between two methods is worth: paired bootstrap over users.

Users are what was sampled, so users are resampled: a user enters with all their questions of all seeds, and a question
counts for both methods or for neither (cluster bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
percentile interval). The metric is recomputed as a whole on every resample: rmse as the root of the resample's mean
squared error, macro_f1 and bleu from the resample's counts. Results depend on `seed`, never on the order of the rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hydra_ray.core.metrics import Additive, Floats, additive, row_scores
from hydra_ray.core.tasks import Task
from hydra_ray.core.user_effects import Interval, UserEffects, group_users, interval, resampled, user_effects, user_sums


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """A metric's value, and its values on the resamples, float64 [count]: the same resamples for every method."""

    value: float
    draws: Floats

    @property
    def ci95(self) -> Interval:
        return interval(self.draws)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method against a baseline on the task's primary metric, over the same questions.

    relative_gain: (method - baseline) / baseline where higher is better, (baseline - method) / baseline (the share of
    the error that is gone) where lower is; positive is always better. difference: the same numerator alone. Both with
    a 95 % percentile interval. users: who gains and who loses.
    """

    method: float
    baseline: float
    relative_gain: float
    relative_gain_ci95: Interval
    difference: float
    difference_ci95: Interval
    users: UserEffects


def bootstrap(
    task: Task,
    user_ids: Sequence[str],
    golds: Sequence[str],
    methods: Mapping[str, Sequence[str | None]],
    count: int = 10_000,
    seed: int = 0,
    metric: str | None = None,
) -> dict[str, BootstrapResult]:
    """One metric (default: the primary one) of every method, with its values on `count` resamples of the users.

    All columns by row; one pass over the draws serves all methods. Raises ValueError without rows or if lengths differ.
    """
    if len(user_ids) != len(golds) or not golds:
        raise ValueError(f"{len(user_ids)} user ids and {len(golds)} gold answers: need as many, and at least one")
    users, user_of_row = group_users(user_ids)
    parts = {name: additive(task, golds, preds, metric) for name, preds in methods.items()}
    sums = [user_sums(part.rows, user_of_row, len(users)) for part in parts.values()]
    draws = _resample(sums, list(parts.values()), len(users), count, seed)
    return {
        name: BootstrapResult(part.value(), drawn) for (name, part), drawn in zip(parts.items(), draws, strict=True)
    }


def _resample(sums: list[Floats], parts: list[Additive], users: int, count: int, seed: int) -> list[Floats]:
    chunks: list[list[Floats]] = [[] for _ in parts]
    for times in resampled(users, count, seed):
        for chunk, of_users, part in zip(chunks, sums, parts, strict=True):
            chunk.append(part.finish(times @ of_users))
    return [np.concatenate(chunk) for chunk in chunks]


def per_user_scores(task: Task, user_ids: Sequence[str], golds: Sequence[str], preds: Sequence[str | None]) -> Floats:
    """float64 [users], users in sorted order: each user's mean `row_scores` (higher is better), seeds pooled."""
    users, user_of_row = group_users(user_ids)
    rows = np.column_stack([row_scores(task, golds, preds), np.ones(len(golds))])
    sums = user_sums(rows, user_of_row, len(users))
    return np.asarray(sums[:, 0] / sums[:, 1])


def relative_gain(method: Floats, baseline: Floats, higher_is_better: bool) -> Floats:
    """By position; positive is better. Over a baseline of 0 it is 0 for equals and infinite otherwise."""
    gap = (method - baseline) if higher_is_better else (baseline - method)
    at_zero = np.where(gap > 0, math.inf, np.where(gap < 0, -math.inf, 0.0))
    return np.where(baseline > 0, gap / np.where(baseline > 0, baseline, 1.0), at_zero)


def compare_sampled(task: Task, method: BootstrapResult, baseline: BootstrapResult, users: UserEffects) -> Comparison:
    """`compare` from results of one `bootstrap`."""
    better = task.higher_is_better
    sign = 1.0 if better else -1.0
    gain = relative_gain(np.array([method.value]), np.array([baseline.value]), better)
    return Comparison(
        method=method.value,
        baseline=baseline.value,
        relative_gain=float(gain[0]),
        relative_gain_ci95=interval(relative_gain(method.draws, baseline.draws, better)),
        difference=sign * (method.value - baseline.value),
        difference_ci95=interval(sign * (method.draws - baseline.draws)),
        users=users,
    )


def compare(
    task: Task,
    user_ids: Sequence[str],
    golds: Sequence[str],
    method: Sequence[str | None],
    baseline: Sequence[str | None],
    count: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """`method` against `baseline` on the same rows, each a question of its own. Raises ValueError as `bootstrap`."""
    sampled = bootstrap(task, user_ids, golds, {"method": method, "baseline": baseline}, count, seed)
    gap = row_scores(task, golds, method) - row_scores(task, golds, baseline)
    effects = user_effects(user_ids, [str(i) for i in range(len(golds))], {"": gap}, count, seed)
    return compare_sampled(task, sampled["method"], sampled["baseline"], effects[""])
