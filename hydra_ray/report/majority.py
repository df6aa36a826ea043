"""How much of a method is the user's habit: the answers that equal `user_majority`, and what the others are worth."""

from collections.abc import Sequence
from typing import Any

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.metrics import row_scores, score_all
from hydra_ray.core.tasks import Task
from hydra_ray.report.rows import AnswerRow

HABIT = "user_majority"


def habit_answers(task: Task, rows: Sequence[AnswerRow], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For every method: `same`, the share of answers that equal the user's majority; `rest`, how many do not;
    `rest_value` and `rest_majority`, the primary metric of the method and of the majority on those; `won` and `lost`,
    on how many of them the method's answer is better and worse. None where there is no rest; {} without the majority.
    """
    if HABIT not in methods:
        return {}
    usual = [parse_answer(task, row.answers[HABIT]) for row in rows]
    found = {}
    for name in methods:
        rest = [
            (row.gold, row.answers[name], row.answers[HABIT])
            for row, habit in zip(rows, usual, strict=True)
            if parse_answer(task, row.answers[name]) != habit
        ]
        found[name] = {"same": 1 - len(rest) / len(rows), "rest": len(rest), **_compared(task, rest)}
    return found


def _compared(task: Task, rest: Sequence[tuple[str, str | None, str | None]]) -> dict[str, Any]:
    if not rest:
        return {"rest_value": None, "rest_majority": None, "won": 0, "lost": 0}
    golds, given, usual = ([row[i] for row in rest] for i in range(3))
    gold_texts = [gold or "" for gold in golds]
    gaps = row_scores(task, gold_texts, given) - row_scores(task, gold_texts, usual)
    metric = task.primary_metric
    return {
        "rest_value": score_all(task, gold_texts, given)[metric],
        "rest_majority": score_all(task, gold_texts, usual)[metric],
        "won": int((gaps > 0).sum()),
        "lost": int((gaps < 0).sum()),
    }
