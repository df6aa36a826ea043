"""The candidates of a query and the choice of one answer: by vote, by the user's past alone, by score.

Pure; ties always break the same way.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hydra_ray.core.answers.parse import parsed_texts
from hydra_ray.core.features import AnswerCounts, history_candidates, vote_weight
from hydra_ray.core.tasks import Task

UNSEEN = 0.5
"""Votes that every candidate has besides those of its samples."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """texts: distinct, normalised; the samples' first, as they came. votes: samples that gave each. samples: all that
    hold an answer, normalised, equal ones as often as they came."""

    texts: tuple[str, ...]
    votes: tuple[int, ...]
    samples: tuple[str, ...]


def candidates_of(task: Task, raw: Iterable[str | None], answer_counts: AnswerCounts, with_history: bool) -> Candidates:
    """The candidates of a query. raw: the LLM's samples. with_history: those in `answer_counts` are candidates, too."""
    samples = parsed_texts(task, raw)
    count = Counter(samples)
    texts = (*count, *(history_candidates(task, answer_counts, samples) if with_history else ()))
    return Candidates(texts, tuple(count[text] for text in texts), tuple(samples))


def self_consistency(task: Task, samples: Sequence[str | None]) -> str:
    """The answer that the samples agree on, normalised; "" if no sample holds an answer.

    classification and rating: the most frequent, ties to the earliest sample. generation: the sample with the highest
    mean ROUGE-L to the other samples, ties to the earliest. Missing and empty samples have no vote.
    """
    answers = parsed_texts(task, samples)
    return task.rules.consensus(task, answers) if answers else ""


def user_majority(task: Task, answers: Sequence[str], fallback: str = "") -> str:
    """The answer without any LLM, from the user's own past answers (oldest first); `fallback` if there are none.

    classification: the most frequent, ties to the one given last. rating: the constant that the task's metric likes
    best. generation: the last answer.
    """
    return task.rules.from_history(task, answers) or fallback


def weighted_median(numbers: Sequence[str], weights: Sequence[float]) -> str:
    """The number (as text) with half of the weight at or below it: the answer that the absolute error asks for.

    Ties go to the lower number. Raises ValueError if there are no numbers.
    """
    if not numbers:
        raise ValueError("no numbers")
    half, below = sum(weights) / 2, 0.0
    for number, weight in sorted(zip(numbers, weights, strict=True), key=lambda pair: float(pair[0])):
        below += weight
        if below >= half:
            return number
    return max(numbers, key=float)


def candidate_weights(scores: Sequence[float], votes: Sequence[int], select: str) -> list[float]:
    """What speaks for each candidate. votes: samples that gave each; `select` is `adapter.select`.

    `best`: its log-odds. `probability`: what they stand for. `weighted` is weighted voting over samples (Li et al.
    2023, arXiv 2206.02336) with half a vote for what was not sampled (the estimate of Krichevsky and Trofimov 1981).
    """
    if select == "best":
        return [float(x) for x in scores]
    if select == "probability":
        return [vote_weight(float(x)) for x in scores]
    return [vote_weight(float(x)) * (count + UNSEEN) for x, count in zip(scores, votes, strict=True)]


def select_candidate(task: Task, candidates: Sequence[str], weights: Sequence[float], select: str) -> int:
    """The position of the chosen candidate. weights: of `candidate_weights`.

    The greatest weight; a vote on a task that MAE measures takes the median. Raises ValueError without candidates.
    """
    if select != "best" and task.primary_metric == "mae":
        return list(candidates).index(weighted_median(candidates, weights))
    return argmax(weights)


def argmax(scores: Sequence[float | None]) -> int:
    """The position of the highest score, ties to the earliest; None and NaN never win.

    Raises ValueError if there is no score at all: the caller decides what an answerless query gets.
    """
    order = top_k(scores, 1)
    if not order:
        raise ValueError("no candidate has a score")
    return order[0]


def top_k(scores: Sequence[float | None], k: int) -> list[int]:
    """The positions of the k highest scores, best first, ties to the earlier; None and NaN are left out."""
    scored = [(score, i) for i, score in enumerate(scores) if score is not None and not math.isnan(score)]
    return [i for _, i in sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]]
