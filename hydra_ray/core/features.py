"""What speaks for a candidate answer besides its text: the user's own history and the other samples. Pure.

Eight numbers per candidate. For tasks with labels, each is a quarter of a log-odds ratio, cut at 1.5, so that a linear
head over them is a product of experts, whose weights are learned:

    habit      how often the user has given this answer
    recent     how often of late, beyond habit: an answer weighs .9 of the next newer one
    likeness   how like the query the items are that the user gave this answer to, beyond habit (0 without an encoder)
    support    how much of the retrieved items' weight stands behind this answer, beyond habit. An item weighs its
               retrieval score as a share of the best item's: a soft nearest-neighbour vote
    votes      how many of the LLM's samples are this answer
    topic      what the query's text says of this answer, for any user (0 without a model of
               `hydra_ray.core.topic_classifier`)
    known      1 where the user has given this answer before
    voted      1 where there are samples at all (rows that the user's own history labels have none)

For generation, each in [0, 1]:

    consensus  mean agreement with the other samples
    support    likeness to the answers of the retrieved items, by their weight
    votes      share of the samples that are this text
    overlap    likeness to the query's own text
    length     1 where it is as long as the user's answers usually are, 1/2 at twice or half of it
    copied     likeness to the one retrieved answer that it is most like
    plain      1 for the LLM's answer without any example
    voted      as above
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hydra_ray.core.answers.parse import is_label, parse_gold
from hydra_ray.core.metrics import generation_score
from hydra_ray.core.rouge import tokens
from hydra_ray.core.tasks import Task

WIDTH = 8
"""Numbers per candidate."""


class Supporter(NamedTuple):
    """A retrieved item's answer and its weight, in [0, 1]."""

    answer: str
    weight: float


class AnswerFrequency(NamedTuple):
    """Of one answer in a user's history: times given, weight by recency, and weight by likeness to the query."""

    times: int
    recent: float
    alike: float


AnswerCounts = Mapping[str, AnswerFrequency]
"""A user's past answers, normalised -> how often each was given, for one query."""

RECENCY = 0.9
SHARPNESS = 10.0
"""An item weighs exp(SHARPNESS * cosine): an item at .6 weighs 20 times as much as one at .3."""
PRIOR_ITEMS = 2.0
"""So many items' weight is spread evenly over all answers, so that few items say little."""
PRIOR_SAMPLES = 0.25
"""So many samples per answer are taken for granted."""
LARGEST = 1.5


def vote_weight(score: float) -> float:
    """The probability that a reranker's score stands for."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, score))))


def history_answers(task: Task, answers: Iterable[str]) -> list[str]:
    """A history's answers, normalised, in its order; nothing for generation, where no answer is given twice."""
    return [] if not task.closed else [parse_gold(task, answer) for answer in answers]


def answer_frequencies(answers: Sequence[str], cosines: Sequence[float] = ()) -> dict[str, AnswerFrequency]:
    """The profile of a history.

    answers: from `history_answers`, oldest first. cosines: of each item to the query, [] where there is no encoder.
    """
    counts: Counter[str] = Counter(answers)
    recent: defaultdict[str, float] = defaultdict(float)
    for age, answer in enumerate(reversed(answers)):
        recent[answer] += RECENCY**age
    alike: defaultdict[str, float] = defaultdict(float)
    if cosines:
        weights = [math.exp(SHARPNESS * cosine) for cosine in cosines]
        mean = sum(weights) / len(weights)
        for answer, weight in zip(answers, weights, strict=True):
            alike[answer] += weight / mean
    return {
        answer: AnswerFrequency(count, recent[answer], alike[answer] if cosines else float(count))
        for answer, count in counts.items()
    }


def history_candidates(task: Task, answer_counts: AnswerCounts, texts: Sequence[str]) -> list[str]:
    """The user's own answers that are not among `texts`, the most frequent first: candidates that cost no call.

    What is none of the task's labels is left out.
    """
    return sorted(
        (text for text in set(answer_counts) - set(texts) if is_label(task, text)),
        key=lambda text: (-answer_counts[text].times, text),
    )


def candidate_features(
    task: Task,
    query: str,
    candidates: Sequence[str],
    samples: Sequence[str],
    answer_counts: AnswerCounts,
    supporters: Sequence[Supporter],
    topics: Mapping[str, float] | None = None,
    plain: str = "",
) -> list[tuple[float, ...]]:
    """WIDTH numbers for every candidate (normalised).

    Args:
        task: What is answered.
        query: The query's text.
        candidates: The answers to choose from, normalised.
        samples: All that came back for the query, normalised, equal ones as often as they came.
        answer_counts: Of the user's history without the query's own item.
        supporters: The retrieved items' answers, weighted.
        topics: Log-odds ratio of each label.
        plain: The LLM's answer without examples.
    """
    if not task.closed:
        return _of_texts(task, query, candidates, samples, supporters, plain)
    return _of_labels(task, candidates, samples, answer_counts, supporters, topics or {})


def _of_labels(
    task: Task,
    candidates: Sequence[str],
    samples: Sequence[str],
    answer_counts: AnswerCounts,
    supporters: Sequence[Supporter],
    topics: Mapping[str, float],
) -> list[tuple[float, ...]]:
    labels = len(task.labels)
    spread = PRIOR_ITEMS / labels
    given = sum(record.times for record in answer_counts.values())
    lately = sum(record.recent for record in answer_counts.values())
    behind: defaultdict[str, float] = defaultdict(float)
    for answer, weight in supporters:
        behind[parse_gold(task, answer)] += weight
    supported = sum(behind.values())
    times = Counter(samples)
    rows: list[tuple[float, ...]] = []
    for text in candidates:
        count, recent, alike = answer_counts.get(text, AnswerFrequency(0, 0.0, 0.0))
        habit = math.log((count + spread) / (given + PRIOR_ITEMS))
        of_late = math.log((recent + spread / 4) / (lately + PRIOR_ITEMS / 4)) - habit
        likeness = math.log((alike + PRIOR_ITEMS) / (count + PRIOR_ITEMS))
        support = math.log((behind[text] + spread / 4) / (supported + PRIOR_ITEMS / 4)) - habit
        votes = math.log((times[text] + PRIOR_SAMPLES) / (len(samples) + PRIOR_SAMPLES * labels)) if samples else 0.0
        scaled = [_scaled(x) for x in (habit, of_late, likeness, support, votes, topics.get(text, 0.0))]
        rows.append((*scaled, float(count > 0), float(bool(samples))))
    return rows


def _scaled(log_ratio: float) -> float:
    return max(-LARGEST, min(LARGEST, log_ratio / 4))


def _of_texts(
    task: Task,
    query: str,
    candidates: Sequence[str],
    samples: Sequence[str],
    supporters: Sequence[Supporter],
    plain: str,
) -> list[tuple[float, ...]]:
    total = sum(weight for _, weight in supporters)
    usual = statistics.median([len(tokens(answer, task.rouge)) for answer, _ in supporters]) if supporters else 0
    times, voted = Counter(samples), float(bool(samples))
    rows: list[tuple[float, ...]] = []
    for text in candidates:
        alike = [generation_score(answer, text, task.rouge) for answer, _ in supporters]
        support = _share(sum(weight * x for (_, weight), x in zip(supporters, alike, strict=True)), total)
        length = (len(tokens(text, task.rouge)) + 1) / (usual + 1)
        rows.append(
            (
                _consensus(task, text, samples),
                support,
                _share(times[text], len(samples)),
                generation_score(query, text, task.rouge),
                min(length, 1 / length) if supporters else 0.0,
                max(alike, default=0.0),
                float(bool(plain) and text == plain),
                voted,
            )
        )
    return rows


def _consensus(task: Task, text: str, samples: Sequence[str]) -> float:
    """Mean score against the other samples; 0 if there are none."""
    others = list(samples)
    if text in others:
        others.remove(text)
    return _share(sum(generation_score(other, text, task.rouge) for other in others), len(others))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
