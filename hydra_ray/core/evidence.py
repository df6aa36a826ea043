"""What speaks for a candidate answer besides its text: the user's own records and the other samples. Pure.

Four numbers per candidate, each in [0, 1]:

    habit      label tasks: how often the user has given this answer
               generation: mean agreement with the other samples
    support    how much of the retrieved records' weight stands behind this answer; generation: their mean likeness to
               it. A record weighs what the reranker believes of it: a soft nearest-neighbour vote among the user's own
               answers.
    votes      share of the query's samples that are this answer
    voted      1 where there are samples at all (rows that the user's own history labels have none)
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hydra_ray.core.metrics import generation_score
from hydra_ray.core.tasks import Task
from hydra_ray.core.text import is_label, normalise_gold

WIDTH = 4
"""Numbers per candidate."""

Supporter = tuple[str, float]
"""A retrieved record's answer and its weight, in [0, 1]."""


def weight_of(log_odds: float) -> float:
    """The probability that a reranker's score stands for."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, log_odds))))


def habits(task: Task, answers: Iterable[str]) -> dict[str, int]:
    """The user's own answers, normalised, and how often each was given; nothing for generation."""
    return {} if task.kind == "generation" else dict(Counter(normalise_gold(task, answer) for answer in answers))


def own_candidates(task: Task, own: Mapping[str, int], texts: Sequence[str]) -> list[str]:
    """The user's own answers that are not among `texts`, the most frequent first: candidates that cost no call.

    What is none of the task's labels is left out.
    """
    return sorted((text for text in set(own) - set(texts) if is_label(task, text)), key=lambda text: (-own[text], text))


def evidence(
    task: Task,
    candidates: Sequence[str],
    samples: Sequence[str],
    own: Mapping[str, int],
    supporters: Sequence[Supporter],
) -> list[tuple[float, float, float, float]]:
    """(habit, support, votes, voted) of every candidate (normalised).

    samples: all that came back for the query, normalised, equal ones as often as they came. own: from `habits`, the
    query's own record left out.
    """
    total = sum(weight for _, weight in supporters)
    given = sum(own.values())
    times, voted = Counter(samples), float(bool(samples))
    behind: defaultdict[str, float] = defaultdict(float)
    for answer, weight in supporters:
        behind[normalise_gold(task, answer)] += weight
    rows = []
    for text in candidates:
        if task.kind == "generation":
            habit = _consensus(task, text, samples)
            support = _share(
                sum(weight * generation_score(answer, text, task.rouge) for answer, weight in supporters), total
            )
        else:
            habit, support = _share(own.get(text, 0), given), _share(behind[text], total)
        rows.append((habit, support, _share(times[text], len(samples)), voted))
    return rows


def _consensus(task: Task, text: str, samples: Sequence[str]) -> float:
    """Mean score against the other samples; 0 if there are none."""
    others = list(samples)
    if text in others:
        others.remove(text)
    return _share(sum(generation_score(other, text, task.rouge) for other in others), len(others))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
