"""Results broken down: by how much history a user has, and by whether an answer is the user's usual one."""

from collections.abc import Sequence
from typing import Any

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.bootstrap import bootstrap
from hydra_ray.core.metrics import row_scores, score_all
from hydra_ray.core.tasks import Task
from hydra_ray.report.rows import AnswerRow

_BINS = 5
_RESAMPLES = 2_000


def history_bins(lengths: Sequence[int], bins: int = _BINS) -> list[tuple[int, int]]:
    """Ranges (first, last) of history lengths with about as many questions each; no history is a range of its own."""
    positive = sorted(length for length in lengths if length > 0)
    ranges = [(0, 0)] if len(positive) < len(lengths) else []
    if not positive:
        return ranges
    lasts = sorted({positive[-(-i * len(positive) // bins) - 1] for i in range(1, bins + 1)})
    firsts = [positive[0], *(last + 1 for last in lasts[:-1])]
    return ranges + list(zip(firsts, lasts, strict=True))


def by_history(task: Task, rows: Sequence[AnswerRow], methods: Sequence[str]) -> list[dict[str, Any]]:
    """For each range of lengths: from, to, questions, users, and each method's metric with its interval over users."""
    result = []
    for first, last in history_bins([row.history_length for row in rows]):
        inside = [row for row in rows if first <= row.history_length <= last]
        if not inside:
            continue
        users = [row.user_id for row in inside]
        answers = {name: [row.answers[name] for row in inside] for name in dict.fromkeys(methods)}
        sampled = bootstrap(task, users, [row.gold for row in inside], answers, _RESAMPLES)
        result.append(
            {
                "from": first,
                "to": last,
                "questions": len(inside),
                "users": len(set(users)),
                "methods": {name: {"value": s.value, "ci95": list(s.ci95)} for name, s in sampled.items()},
            }
        )
    return result


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
