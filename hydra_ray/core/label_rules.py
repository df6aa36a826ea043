"""What reranker and adapter learn from: labels made of the LLM's own answers (HYDRA, LLM feedback).

Rows go in and labels come out by position. A missing answer (None: the call failed) and one that is nothing but
thoughts give no label (None) and move no other row.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from hydra_ray.core.answers.parse import is_unusable, matches_gold, parse_answer, parse_gold
from hydra_ray.core.metrics import generation_score
from hydra_ray.core.tasks import Task

RerankerReading = Literal["query", "user"]
AdapterReading = Literal["gold", "relative"]


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """A candidate answer of one query: its normalised text and its label (None: none).

    sample: its position among the query's samples, None for the gold text.
    """

    text: str
    label: int | None
    sample: int | None


def reranker_labels(
    task: Task,
    golds: Sequence[str],
    answers: Sequence[str | None],
    user_ids: Sequence[str],
    query_ids: Sequence[str],
    reading: RerankerReading = "query",
) -> list[int | None]:
    """Whether each one-shot example helped: one label per row; a row is one (user, query, history item).

    classification and rating: 1 if the answer matches the gold. generation: 1 if (ROUGE-1 + ROUGE-L) / 2 is above the
    mean over the rows with an answer of the same query (`query`) or of the same user (`user`, the released code).
    Rows may come in any order. Raises ValueError if the lengths differ or the reading is unknown.
    """
    if reading not in ("query", "user"):
        raise ValueError(f"reranker.label: {reading!r} is neither 'query' nor 'user'")
    if not len(golds) == len(answers) == len(user_ids) == len(query_ids):
        raise ValueError(f"columns differ: {len(golds)} {len(answers)} {len(user_ids)} {len(query_ids)} rows")
    if task.closed:
        return [_match(task, gold, answer) for gold, answer in zip(golds, answers, strict=True)]
    scores = [_score(task, gold, answer) for gold, answer in zip(golds, answers, strict=True)]
    groups = user_ids if reading == "user" else list(zip(user_ids, query_ids, strict=True))
    return _above_mean(scores, groups)


def adapter_rows(
    task: Task, gold: str, samples: Sequence[str | None], reading: AdapterReading = "relative"
) -> list[AdapterRow]:
    """The candidates of one query with labels: row i is sample i; under `gold` a generation's gold text follows them.

    classification and rating, both readings: 1 if the sample matches the gold. generation, `relative`: 1 if its
    (ROUGE-1 + ROUGE-L) / 2 is above the mean over the query's samples that exist; `gold` (the released code): the gold
    text is the one positive and every sample negative, except a sample that is the gold text itself.
    Raises ValueError if the reading is unknown.
    """
    if reading not in ("gold", "relative"):
        raise ValueError(f"adapter.label: {reading!r} is neither 'gold' nor 'relative'")
    if not task.closed and reading == "relative":
        labels = _above_mean([_score(task, gold, sample) for sample in samples], [None] * len(samples))
    else:
        labels = [_match(task, gold, sample) for sample in samples]
    texts = [parse_answer(task, sample) for sample in samples]
    rows = [AdapterRow(text, label, i) for i, (text, label) in enumerate(zip(texts, labels, strict=True))]
    if not task.closed and reading == "gold":
        rows.append(AdapterRow(parse_gold(task, gold), 1, None))
    return rows


def _match(task: Task, gold: str, answer: str | None) -> int | None:
    return None if is_unusable(answer) else int(matches_gold(task, gold, answer))


def _score(task: Task, gold: str, answer: str | None) -> float | None:
    if is_unusable(answer):
        return None
    return generation_score(parse_gold(task, gold), parse_answer(task, answer), task.rouge)


def _above_mean(scores: Sequence[float | None], groups: Sequence[Hashable]) -> list[int | None]:
    """1 for each score above the mean of its group, 0 otherwise. Equal scores have none above their mean."""
    members: dict[Hashable, list[float]] = defaultdict(list)
    for score, group in zip(scores, groups, strict=True):
        if score is not None:
            members[group].append(score)
    means = {group: sum(values) / len(values) for group, values in members.items()}
    return [
        # The mean of equal numbers may round to just below them.
        None if score is None else int(score > means[group] + 1e-12)
        for score, group in zip(scores, groups, strict=True)
    ]
