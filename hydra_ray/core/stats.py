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
from numpy.typing import NDArray

from hydra_ray.core.metrics import Additive, Floats, additive, row_scores
from hydra_ray.core.tasks import Task

Interval = tuple[float, float]
_CHUNK = 4_000_000  # draws held at once
_SAME = 1e-9  # scores of one user that differ by less are equal


@dataclass(frozen=True, slots=True)
class Sampled:
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
    a 95 % percentile interval. helped, harmed: share of users whose own mean `row_scores` is better, worse.
    """

    method: float
    baseline: float
    relative_gain: float
    relative_gain_ci95: Interval
    difference: float
    difference_ci95: Interval
    helped: float
    harmed: float


def interval(values: Floats) -> Interval:
    """The 95 % percentile interval, without interpolation (a resample may be infinite: a baseline of 0)."""
    low, high = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    return float(low), float(high)


def group_users(user_ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct users, sorted, and for each row the position of its user: int64 [rows]."""
    users = sorted(set(user_ids))
    position = {user: i for i, user in enumerate(users)}
    return users, np.array([position[user] for user in user_ids], dtype=np.int64)


def _user_sums(rows: Floats, user_of_row: NDArray[np.int64], users: int) -> Floats:
    """Sums of rows [n, s] by user: [users, s]."""
    order = np.argsort(user_of_row, kind="stable")
    starts = np.searchsorted(user_of_row[order], np.arange(users))
    return np.asarray(np.add.reduceat(rows[order], starts, axis=0))


def bootstrap(
    task: Task,
    user_ids: Sequence[str],
    golds: Sequence[str],
    methods: Mapping[str, Sequence[str | None]],
    count: int = 10_000,
    seed: int = 0,
    metric: str | None = None,
) -> dict[str, Sampled]:
    """One metric (default: the primary one) of every method, with its values on `count` resamples of the users.

    All columns by row; one pass over the draws serves all methods. Raises ValueError without rows or if lengths differ.
    """
    if len(user_ids) != len(golds) or not golds:
        raise ValueError(f"{len(user_ids)} user ids and {len(golds)} gold answers: need as many, and at least one")
    users, user_of_row = group_users(user_ids)
    parts = {name: additive(task, golds, preds, metric) for name, preds in methods.items()}
    sums = [_user_sums(part.rows, user_of_row, len(users)) for part in parts.values()]
    draws = _resample(sums, list(parts.values()), len(users), count, seed)
    return {name: Sampled(part.value(), drawn) for (name, part), drawn in zip(parts.items(), draws, strict=True)}


def _resample(sums: list[Floats], parts: list[Additive], users: int, count: int, seed: int) -> list[Floats]:
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // users)
    chunks: list[list[Floats]] = [[] for _ in parts]
    for start in range(0, count, step):
        size = min(step, count - start)
        drawn = rng.integers(users, size=(size, users)) + np.arange(size)[:, None] * users
        times = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(np.float64)
        for chunk, user_sums, part in zip(chunks, sums, parts, strict=True):
            chunk.append(part.finish(times @ user_sums))
    return [np.concatenate(chunk) for chunk in chunks]


def per_user_scores(task: Task, user_ids: Sequence[str], golds: Sequence[str], preds: Sequence[str | None]) -> Floats:
    """float64 [users], users in sorted order: each user's mean `row_scores` (higher is better), seeds pooled."""
    users, user_of_row = group_users(user_ids)
    rows = np.column_stack([row_scores(task, golds, preds), np.ones(len(golds))])
    sums = _user_sums(rows, user_of_row, len(users))
    return np.asarray(sums[:, 0] / sums[:, 1])


def relative_gain(method: Floats, baseline: Floats, higher_is_better: bool) -> Floats:
    """By position; positive is better. Over a baseline of 0 it is 0 for equals and infinite otherwise."""
    gap = (method - baseline) if higher_is_better else (baseline - method)
    at_zero = np.where(gap > 0, math.inf, np.where(gap < 0, -math.inf, 0.0))
    return np.where(baseline > 0, gap / np.where(baseline > 0, baseline, 1.0), at_zero)


def shares(gap: Floats) -> tuple[float, float]:
    """Of per-user differences (higher is better): the shares of users helped and harmed."""
    return float(np.mean(gap > _SAME)), float(np.mean(gap < -_SAME))


def compare_sampled(task: Task, method: Sampled, baseline: Sampled, gap: Floats) -> Comparison:
    """`compare` from results of one `bootstrap`; gap: the users' own differences, float64 [users]."""
    better = task.higher_is_better
    sign = 1.0 if better else -1.0
    gain = relative_gain(np.array([method.value]), np.array([baseline.value]), better)
    helped, harmed = shares(gap)
    return Comparison(
        method=method.value,
        baseline=baseline.value,
        relative_gain=float(gain[0]),
        relative_gain_ci95=interval(relative_gain(method.draws, baseline.draws, better)),
        difference=sign * (method.value - baseline.value),
        difference_ci95=interval(sign * (method.draws - baseline.draws)),
        helped=helped,
        harmed=harmed,
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
    """`method` against `baseline` on the same rows; seeds pooled. Raises ValueError as `bootstrap` does."""
    sampled = bootstrap(task, user_ids, golds, {"method": method, "baseline": baseline}, count, seed)
    gap = per_user_scores(task, user_ids, golds, method) - per_user_scores(task, user_ids, golds, baseline)
    return compare_sampled(task, sampled["method"], sampled["baseline"], gap)
