"""What choosing one retriever per question could gain: the best and the worst answer of a pool. Pure.

A pool is what the LLM answers after the examples of each of several retrievers; having none is one of them. Scores are
the task's own, per question; a missing answer counts as it does in the metrics.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.answers.parse import is_label, parse_answer
from hydra_ray.core.labeling import Row
from hydra_ray.core.metrics import Floats, generation_score, row_scores
from hydra_ray.core.rewards import rewards
from hydra_ray.core.stand_in_queries import task_of
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


def successes(scores: Floats, chosen: Floats) -> NDArray[np.bool_]:
    """Whether an answer is as good as the best one of the pool, bool [questions]; ties count.

    Args:
        scores: Of the pool, as `pool_scores` gives them.
        chosen: Of a selector's answers, or of one retriever's: float64 [questions].
    """
    found: NDArray[np.bool_] = chosen >= scores.max(0) - EQUAL
    return found


def share_over_users(
    user_ids: Sequence[str], hits: NDArray[np.bool_], count: int = 10_000, seed: int = 0
) -> tuple[float, Interval]:
    """The share of questions that are hits, and its 95 % interval by a bootstrap over users."""
    users, user_of_row = group_users(user_ids)
    sums = user_sums(np.column_stack([hits.astype(np.float64), np.ones(len(hits))]), user_of_row, len(users))
    totals = np.concatenate([times @ sums for times in resampled(len(users), count, seed)])
    return float(hits.mean()), interval(totals[:, 0] / totals[:, 1])


@dataclass(frozen=True, slots=True)
class PoolExample:
    """A training query with what the LLM is asked after each retriever of a pool, and what it answers.

    Attributes:
        user_id: Who asks.
        prompts: One a retriever, in the pool's order, as the rest.
        answers: None where the LLM gave none.
        rewards: In [0, 1]; NaN where the LLM gave no answer.
        agreement: See `agreement`.
    """

    user_id: str
    prompts: tuple[str, ...]
    answers: tuple[str | None, ...]
    rewards: tuple[float, ...]
    agreement: tuple[float, ...]


def pool_examples(task: Task, rows: Iterable[Row]) -> list[PoolExample]:
    """What a selector learns from. rows: of training queries, with the prompts as candidates, each answered once."""
    found = []
    for row in rows:
        answers = tuple(texts[0] if texts else None for texts in row.answers)
        asked = task_of(task, row.query_id)
        worth = tuple(rewards(asked, row.gold, answers))
        found.append(PoolExample(row.user_id, row.candidates, answers, worth, tuple(agreement(asked, answers))))
    return found


def agreement(task: Task, answers: Sequence[str | None]) -> list[float]:
    """How far the other answers agree with each, in [0, 1]: their mean ROUGE with it for free text, else the share that
    is the same. Missing answers and those that hold none agree with nothing, and do not count among the others."""
    texts = [parse_answer(task, answer) if answer is not None else "" for answer in answers]
    known = [i for i, text in enumerate(texts) if text and is_label(task, text)]
    found = [0.0] * len(texts)
    for i in known:
        others = [texts[other] for other in known if other != i]
        if task.closed:
            alike = [float(other == texts[i]) for other in others]
        else:
            alike = [generation_score(texts[i], other, task.rouge) for other in others]
        found[i] = sum(alike) / len(alike) if alike else 0.0
    return found
