"""What choosing one retriever per question could gain: the best and the worst answer of a pool. Pure.

A pool is what the LLM answers after the examples of each of several retrievers; having none is one of them. Scores are
the task's own, per question; a missing answer counts as it does in the metrics.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.metrics import Floats, row_scores
from hydra_ray.core.tasks import Task
from hydra_ray.core.user_effects import Interval, group_users, interval, resampled, user_sums

EQUAL = 1e-9
"""Scores that differ by no more than this are equal."""
Answers = Mapping[str, Sequence[str | None]]
"""Retriever -> its answers by question."""


def pool_scores(task: Task, golds: Sequence[str], pool: Answers) -> Floats:
    """float64 [retrievers, questions], higher is better, retrievers in the order of `pool`."""
    return np.stack([row_scores(task, golds, answers) for answers in pool.values()])


def best_and_worst(
    task: Task, golds: Sequence[str], pool: Answers
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """The answers of a perfect choice among the retrievers, and of the worst one; ties go to the first retriever."""
    scores, answers = pool_scores(task, golds, pool), list(pool.values())
    best, worst = (
        tuple(answers[place][i] for i, place in enumerate(places.tolist()))
        for places in (scores.argmax(0), scores.argmin(0))
    )
    return best, worst


def successes(task: Task, golds: Sequence[str], pool: Answers, chosen: Sequence[str | None]) -> NDArray[np.bool_]:
    """Whether an answer is as good as the best one of the pool, bool [questions]; ties count.

    Args:
        task: What was asked.
        golds: The gold answers.
        pool: What could be chosen from.
        chosen: A selector's answers, or those of one retriever.
    """
    found: NDArray[np.bool_] = row_scores(task, golds, chosen) >= pool_scores(task, golds, pool).max(0) - EQUAL
    return found


def share_over_users(
    user_ids: Sequence[str], hits: NDArray[np.bool_], count: int = 10_000, seed: int = 0
) -> tuple[float, Interval]:
    """The share of questions that are hits, and its 95 % interval by a bootstrap over users."""
    users, user_of_row = group_users(user_ids)
    sums = user_sums(np.column_stack([hits.astype(np.float64), np.ones(len(hits))]), user_of_row, len(users))
    totals = np.concatenate([times @ sums for times in resampled(len(users), count, seed)])
    return float(hits.mean()), interval(totals[:, 0] / totals[:, 1])
