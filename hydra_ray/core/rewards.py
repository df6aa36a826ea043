"""How well the LLM answers after each of a query's history items alone: the graded feedback of retrievers. Pure.

A reward is the task's own metric of one answer, in [0, 1] for every kind of task: a match for labels, ROUGE-1 or
ROUGE-L for free text, and for ratings the distance from the gold rating as a share of the farthest that the scale has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.answers.parse import parse_gold
from hydra_ray.core.labeling import MISSING, Row
from hydra_ray.core.metrics import row_scores
from hydra_ray.core.queries import asked_item
from hydra_ray.core.retrieval import searched_text
from hydra_ray.core.stand_in_queries import task_of
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import User


@dataclass(frozen=True, slots=True)
class RewardedList:
    """A query with its candidates, as retrieval ranks them, and what each is worth.

    Attributes:
        user_id: Who asks.
        query: What retrieval searches for.
        items: What retrieval searches of each candidate, best first.
        rewards: Of each candidate, in [0, 1]; NaN where the LLM gave no answer.
        asked: The id of the history item that is asked; None: a question is.
    """

    user_id: str
    query: str
    items: tuple[str, ...]
    rewards: tuple[float, ...]
    asked: str | None = None

    @property
    def teaches(self) -> bool:
        """Whether one candidate is better than another."""
        known = [reward for reward in self.rewards if reward == reward]
        return len(set(known)) > 1


def rewards(task: Task, gold: str, answers: Sequence[str | None]) -> list[float]:
    """The reward of each answer to one query, in [0, 1]; NaN for None, an answer that is missing.

    A rating y answered by r has 1 - |y - r| / w, where w is the distance of y from the farther end of the scale; for
    `rmse` it is the same, so that it stays in [0, 1] in steps of equal size.
    """
    given = [answer for answer in answers if answer is not None]
    if not given:
        return [MISSING] * len(answers)
    scores = row_scores(task, [gold] * len(given), given)
    if task.primary_metric in ("mae", "rmse"):
        errors = np.sqrt(-scores) if task.primary_metric == "rmse" else -scores
        scores = 1 - errors / _farthest(task, gold)
    found = iter(scores.tolist())
    return [MISSING if answer is None else float(next(found)) for answer in answers]


def _farthest(task: Task, gold: str) -> float:
    scale, rating = [float(label) for label in task.labels], float(parse_gold(task, gold))
    return max(rating - min(scale), max(scale) - rating)


def rewarded_lists(
    task: Task, users: Iterable[User], rows: Iterable[Row], use_date: bool = False, known: bool = False
) -> Iterator[RewardedList]:
    """The rows of the label step that the LLM was asked about, with their rewards.

    Items of a text that the user's history does not have any more are left out.

    Args:
        task: What the users answered.
        users: They, with their histories.
        rows: Their queries, each with the texts of the retrieved items and the answers after each of them.
        use_date: Whether an item's date is part of what is searched.
        known: Whether rows whose labels the history knows, which cost no call and have no answers, are among them, with
            their labels as rewards.
    """
    searched = {user.user_id: {item.text: searched_text(item, use_date) for item in user.items} for user in users}
    for row in rows:
        if (row.known and not known) or not row.candidates or row.user_id not in searched:
            continue
        answers = [answer[0] if answer else None for answer in row.answers]
        worth = list(row.known) if row.known else rewards(task_of(task, row.query_id), row.gold, answers)
        corpus: Mapping[str, str] = searched[row.user_id]
        kept = [(corpus[text], reward) for text, reward in zip(row.candidates, worth, strict=True) if text in corpus]
        if kept:
            items, values = zip(*kept, strict=True)
            yield RewardedList(row.user_id, task.search_text(row.text), items, values, asked_item(row.query_id))


def ndcg(rewards: Sequence[float], scores: Sequence[float]) -> float:
    """Normalised discounted cumulative gain of the order that the scores give, in [0, 1].

    The gain of a candidate is its reward, that of rank i (from 1) counts 1 / log2(1 + i). Candidates without a reward
    are left out; of equal scores the earlier candidate comes first. 1 where no candidate has any gain.
    """
    known = [(score, reward) for score, reward in zip(scores, rewards, strict=True) if reward == reward]
    discounts: NDArray[np.float64] = 1 / np.log2(np.arange(2, len(known) + 2))
    ordered = [reward for _, reward in sorted(known, key=lambda pair: -pair[0])]
    best = float(np.sort(ordered)[::-1] @ discounts) if known else 0.0
    return float(np.asarray(ordered) @ discounts) / best if best > 0 else 1.0
