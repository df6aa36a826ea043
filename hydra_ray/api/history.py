"""A history as Python callers give it: dictionaries, or items as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra_ray.core.dates import normalise_date
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.answers import AnswerError, Answers
from hydra_ray.errors import UserError

FIELDS = ("text", "answer", "date", "item_id", "corpus")
"""Keys of an item; only `text` must be there."""


def read_history(task: Task, history: Sequence[Mapping[str, Any] | HistoryItem]) -> list[HistoryItem]:
    """The items of a history, oldest first; undated ones before all others.

    Args:
        task: What the items are answers to.
        history: Dictionaries with `text` and, where known, `answer`, `date` (in any form that ingesting reads),
            `item_id` and `corpus` (what retrieval searches; default: the text).

    Raises:
        UserError: Names the first item that cannot be used, and why.
    """
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Sequence):
        raise UserError(f"history: a list of items is wanted, one dictionary each; this is a {type(history).__name__}")
    answers = Answers(task)
    items = [item if isinstance(item, HistoryItem) else _item(task, answers, i, item) for i, item in enumerate(history)]
    seen: dict[str, int] = {}
    for i, item in enumerate(items):
        if seen.setdefault(item.item_id, i) != i:
            raise UserError(f"history[{i}]: item_id {item.item_id!r} is that of history[{seen[item.item_id]}], too")
    return sorted(items, key=lambda item: item.date)


def _item(task: Task, answers: Answers, i: int, given: Mapping[str, Any]) -> HistoryItem:
    where = f"history[{i}]"
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: an item is a dictionary with the keys {', '.join(FIELDS)}; this is a "
                        f"{type(given).__name__}")  # fmt: skip
    unknown = [key for key in given if key not in FIELDS]
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}; an item has {', '.join(FIELDS)}")
    text = given.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}.text: every item needs a text")
    date = normalise_date(given.get("date"))
    if date is None:
        raise UserError(f"{where}.date: {given['date']!r} cannot be read; write it as 2024-05-17")
    corpus = given.get("corpus")
    return HistoryItem(
        item_id=str(given.get("item_id") or f"item-{i}"),
        text=text,
        corpus=text if corpus is None else str(corpus),
        answer=_answer(task, answers, where, given.get("answer")),
        date=date,
    )


def _answer(task: Task, answers: Answers, where: str, given: Any) -> str:
    try:
        return answers.read(given)
    except AnswerError as error:
        if error.reason == "missing":
            return ""
        labels = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
        raise UserError(f"{where}.answer: {given!r} is no answer of task {task.name}; give none, or one of: "
                        f"{labels}") from None  # fmt: skip
