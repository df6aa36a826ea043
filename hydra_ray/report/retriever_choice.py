"""What a report says of choosing a retriever per question: oracles over the table's rows, and success rates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra_ray.core.retriever_pool import best_and_worst, pool_scores, share_over_users, successes
from hydra_ray.core.tasks import Task
from hydra_ray.report.methods import RETRIEVER_CHOICES, RETRIEVER_POOL, SMALLEST_POOL
from hydra_ray.report.rows import AnswerRow


def pool_of(rows: Sequence[AnswerRow]) -> dict[str, list[str | None]]:
    """Method -> its answers, of the pool's rows that the run shows; {} where they are too few to choose from."""
    pool = {name: [row.answers[name] for row in rows] for name in RETRIEVER_POOL if name in rows[0].answers}
    return pool if len(pool) >= SMALLEST_POOL else {}


def with_retriever_oracles(task: Task, rows: Sequence[AnswerRow]) -> list[AnswerRow]:
    """The rows with the best and the worst answer of the pool among their oracles. They cost no call."""
    pool = pool_of(rows)
    if not pool:
        return list(rows)
    best, worst = best_and_worst(task, [row.gold for row in rows], pool)
    return [
        replace(row, oracles={**row.oracles, "oracle_retriever": high, "worst_retriever": low})
        for row, high, low in zip(rows, best, worst, strict=True)
    ]


def retriever_choice(task: Task, rows: Sequence[AnswerRow], resamples: int) -> dict[str, dict[str, Any]]:
    """Method of the pool, or that chooses among retrievers -> the share of questions for which no method of the pool is
    better, with its interval over users."""
    pool, users = pool_of(rows), [row.user_id for row in rows]
    if not pool:
        return {}
    golds, found = [row.gold for row in rows], {}
    scores = pool_scores(task, golds, pool)
    choices = {name: [row.answers[name] for row in rows] for name in RETRIEVER_CHOICES if name in rows[0].answers}
    chosen_scores = [*scores, *(pool_scores(task, golds, choices) if choices else ())]
    for name, chosen in zip((*pool, *choices), chosen_scores, strict=True):
        share, ci95 = share_over_users(users, successes(scores, chosen), resamples)
        found[name] = {"share": share, "ci95": list(ci95)}
    return found
