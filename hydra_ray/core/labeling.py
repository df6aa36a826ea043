"""From a user's items to requests to the LLM, and from its answers to ranking examples. Pure.

A `Row` is one query of one user: the texts to be scored (`candidates`), the requests whose answers will label them, or,
where the user's own history knows the labels already (`known`), no requests at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra_ray.core.answers.parse import is_label, parse_gold
from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.label_rules import AdapterReading, RerankerReading, adapter_rows, reranker_labels
from hydra_ray.core.metrics import generation_score
from hydra_ray.core.queries import draw_items
from hydra_ray.core.stand_in_queries import task_of
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem, User

MISSING = float("nan")
OWN_ROW = "h:"
"""Before the item's id in the query id of a row that is about an item of the history and costs no call."""


@dataclass(frozen=True, slots=True)
class Row:
    """One query: who asks, what, the gold answer, the texts to score, the labels known without asking."""

    user_id: str
    query_id: str
    text: str
    gold: str
    candidates: tuple[str, ...]
    known: tuple[float, ...] = ()
    answers: tuple[tuple[str, ...], ...] = field(default=())


def reranker_labels_of_user(task: Task, rows: Sequence[Row], reading: RerankerReading) -> list[list[float]]:
    """Labels of all rows of one user, per row and item; NaN where an answer is missing.

    Stand-in queries have a mean of their own.
    """
    if task.stand_in is not None:
        found: dict[str, list[float]] = {}
        for its_task in (task, task.stand_in_task):
            some = [row for row in rows if task_of(task, row.query_id) == its_task]
            found |= zip((row.query_id for row in some), _labels_of(its_task, some, reading), strict=True)
        return [found[row.query_id] for row in rows]
    return _labels_of(task, rows, reading)


def _labels_of(task: Task, rows: Sequence[Row], reading: RerankerReading) -> list[list[float]]:
    asked = [row for row in rows if not row.known]
    flat = [(row, answer[0] if answer else None) for row in asked for answer in row.answers]
    labels = iter(
        reranker_labels(
            task,
            [row.gold for row, _ in flat],
            [answer for _, answer in flat],
            [row.user_id for row, _ in flat],
            [row.query_id for row, _ in flat],
            reading,
        )
    )
    return [list(row.known) if row.known else [_number(next(labels)) for _ in row.answers] for row in rows]


def adapter_candidates(task: Task, row: Row, reading: AdapterReading) -> tuple[list[str], list[float]]:
    """The candidates of one query and their labels."""
    if row.known:
        return list(row.candidates), list(row.known)
    samples: list[str | None] = list(row.answers[0]) if row.answers else []
    rows = [r for r in adapter_rows(task, row.gold, samples, reading) if r.text]
    return [r.text for r in rows], [_number(r.label) for r in rows]


def _number(label: int | None) -> float:
    return MISSING if label is None else float(label)


def agreement_rows(task: Task, user: User, count: int, n: int, seed: int) -> list[Row]:
    """Reranker rows that cost no call: do two of the user's own items carry the same answer?

    For `count` of the user's safe items, `n` other items each; label 1 where the answers are equal (generation: where
    their score is above the mean over the n). What the LLM's feedback measures for few pairs, the history says about
    many.
    """
    items = [item for item in user.safe_history() if item.answer and item.text]
    rows = []
    for item in draw_items(items, count, seed, user.user_id + "\0agree"):
        others = draw_items([x for x in items if x.item_id != item.item_id], n, seed, user.user_id + item.item_id)
        if others:
            known = _agreement(task, item, others)
            texts = tuple(other.text for other in others)
            rows.append(Row(user.user_id, f"{OWN_ROW}{item.item_id}", item.text, item.answer, texts, tuple(known)))
    return rows


def _agreement(task: Task, item: HistoryItem, others: Sequence[HistoryItem]) -> list[float]:
    if task.closed:
        return [float(other.answer == item.answer) for other in others]
    scores = [generation_score(item.answer, other.answer, task.rouge) for other in others]
    mean = sum(scores) / len(scores)
    return [float(score > mean + 1e-12) for score in scores]


def own_answer_rows(task: Task, user: User, count: int, seed: int, others: int = 4) -> list[Row]:
    """Adapter rows that cost no call: the user's own answer for an item against other answers the user might give.

    Classification and rating: the alternatives are `others` labels, drawn half from the user's own other answers and
    half from the task's. Generation has none: another user's headline is no alternative answer.
    Items whose answer is no label are left out.
    """
    if not task.closed:
        return []
    items = [x for x in user.safe_history() if x.text and is_label(task, parse_gold(task, x.answer))]
    rows = []
    for item in draw_items(items, count, seed, user.user_id + "\0own"):
        gold = parse_gold(task, item.answer)
        own = sorted({parse_gold(task, x.answer) for x in items} - {gold})
        key = f"{seed}\0{user.user_id}\0{item.item_id}"
        wrong = _shuffled(own, key)[: others // 2]
        wrong += _shuffled([label for label in task.labels if label != gold and label not in wrong], key)
        candidates = (gold, *wrong[:others])
        rows.append(
            Row(
                user.user_id,
                f"{OWN_ROW}{item.item_id}",
                item.text,
                gold,
                candidates,
                (1.0, *[0.0] * (len(candidates) - 1)),
            )
        )
    return rows


def _shuffled(labels: Sequence[str], key: str) -> list[str]:
    return sorted(labels, key=lambda label: stable_hash(key, label))
