"""The primary metric against how much history a user has."""

from collections.abc import Sequence
from typing import Any

from hydra_ray.core.bootstrap import bootstrap
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
