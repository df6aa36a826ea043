"""Who gains and who loses by a method, and how much of that is more than chance.

A user with three questions is helped or harmed by luck alone more often than not, so the bare shares say little. Two
readings of "harmed beyond chance" are given, and neither assumes anything about how scores are distributed. Both ask
what happens if a user's two methods are equally good: then on each question the two answers might as well be swapped,
so every difference has a random sign (sign-flip test; Fisher, The Design of Experiments, 1935).

    excess   for all users together, however few questions each has: the share harmed, less the share that random signs
             would harm. Below zero: fewer are harmed than if the methods were equal for every user.
    clear    for users with questions enough: the share of users whose own loss is so large that random signs give as
             large a one with a probability of 5 % at most. `testable` is the share of users for whom that is possible
             at all (it takes five questions on which the methods differ); of these, up to 5 % are clear by chance.

Several seeds of one question are one question: its differences are averaged first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

COLUMNS = ("helped", "harmed", "helped_excess", "harmed_excess", "harmed_clear")
LEVEL = 0.05
"""Of the test of single users."""
_CHUNK = 4_000_000  # draws held at once
_SAME = 1e-9  # scores of one user that differ by less are equal
_EXACT = 12  # questions whose signs are all tried; of more, so many are drawn:
_FLIPS = 1 << _EXACT


@dataclass(frozen=True, slots=True)
class UserEffects:
    """Shares of users with 95 % intervals over users; see the module for what they mean.

    helped, harmed: whose mean score is better, worse. helped_excess, harmed_excess: less what chance alone would help
    or harm. harmed_clear: harmed by their own test. testable: users who could be.
    """

    helped: float
    helped_ci95: Interval
    harmed: float
    harmed_ci95: Interval
    helped_excess: float
    helped_excess_ci95: Interval
    harmed_excess: float
    harmed_excess_ci95: Interval
    harmed_clear: float
    harmed_clear_ci95: Interval
    testable: float


def interval(values: Floats) -> Interval:
    """The 95 % percentile interval, without interpolation (a resample may be infinite: a baseline of 0)."""
    low, high = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    return float(low), float(high)


def group_users(user_ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct users, sorted, and for each row the position of its user: int64 [rows]."""
    users = sorted(set(user_ids))
    position = {user: i for i, user in enumerate(users)}
    return users, np.array([position[user] for user in user_ids], dtype=np.int64)


def user_sums(rows: Floats, user_of_row: NDArray[np.int64], users: int) -> Floats:
    """Sums of rows [n, s] by user: [users, s]."""
    order = np.argsort(user_of_row, kind="stable")
    starts = np.searchsorted(user_of_row[order], np.arange(users))
    return np.asarray(np.add.reduceat(rows[order], starts, axis=0))


def resampled(users: int, count: int, seed: int) -> Iterator[Floats]:
    """`count` resamples of the users in chunks: how often each is drawn, float64 [chunk, users]."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // users)
    for start in range(0, count, step):
        size = min(step, count - start)
        drawn = rng.integers(users, size=(size, users)) + np.arange(size)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(np.float64)


@lru_cache(maxsize=1 << 16)
def sign_flips(differences: tuple[float, ...], seed: int = 0) -> tuple[float, float]:
    """One user's differences under random signs: the probability of a loss at all, and of one as large as this.

    Exact up to 12 questions on which the methods differ, else of 4,096 drawn sets of signs.
    """
    changed = np.array([x for x in differences if abs(x) > _SAME])
    if not len(changed):
        return 0.0, 1.0
    if len(changed) <= _EXACT:
        signs = 1 - 2 * ((np.arange(1 << len(changed))[:, None] >> np.arange(len(changed))) & 1)
    else:
        drawn = np.random.default_rng([seed, len(changed)])
        signs = np.vstack([np.ones(len(changed)), 1 - 2 * drawn.integers(2, size=(_FLIPS - 1, len(changed)))])
    sums = signs @ changed
    as_large = float(np.mean(sums <= changed.sum() + _SAME * len(changed)))
    # By symmetry losses are as likely as gains: half of what is not zero, free of the noise of drawing.
    return float(np.mean(np.abs(sums) > _SAME * len(changed)) / 2), as_large


def user_effects(
    user_ids: Sequence[str], questions: Sequence[str], gaps: Mapping[str, Floats], count: int = 10_000, seed: int = 0
) -> dict[str, UserEffects]:
    """Who gains and who loses, for each baseline. gaps: baseline -> float64 [rows], a row's score less the baseline's
    (higher is better).

    questions: what each row asks; rows of one user and question (several seeds) count as one.
    """
    pairs = list(zip(user_ids, questions, strict=True))
    keys = sorted(set(pairs))
    position = {key: i for i, key in enumerate(keys)}
    place = np.array([position[key] for key in pairs], dtype=np.int64)
    sums = user_sums(np.column_stack([*gaps.values(), np.ones(len(pairs))]), place, len(keys))
    users, user_of_question = group_users([user for user, _ in keys])
    starts = np.searchsorted(user_of_question, np.arange(1, len(users)))
    found = [_columns(np.split(sums[:, i] / sums[:, -1], starts), seed) for i in range(len(gaps))]
    together = np.column_stack([columns for columns, _ in found])
    drawn = np.concatenate([times @ together for times in resampled(len(users), count, seed)]) / len(users)
    means, ends = together.mean(axis=0).tolist(), [interval(column) for column in drawn.T]
    effects = {}
    for i, name in enumerate(gaps):
        fields: dict[str, Any] = {"testable": found[i][1]}
        for j, column in enumerate(COLUMNS, start=i * len(COLUMNS)):
            fields |= {column: means[j], f"{column}_ci95": ends[j]}
        effects[name] = UserEffects(**fields)
    return effects


def _columns(of_users: Sequence[Floats], seed: int) -> tuple[Floats, float]:
    """Of every user: the numbers whose means are COLUMNS, float64 [users, 5]; the share testable."""
    rows, testable = [], 0
    for values in of_users:
        differences = tuple(sorted(round(float(x), 9) for x in values))
        lost, as_large = sign_flips(differences, seed)
        helped, harmed = sum(differences) > _SAME, sum(differences) < -_SAME
        rows.append((helped, harmed, helped - lost, harmed - lost, harmed and as_large <= LEVEL))
        testable += 0.5 ** sum(abs(x) > _SAME for x in differences) <= LEVEL
    return np.array(rows, dtype=np.float64), testable / len(rows)
