"""Stand-in queries: what is asked of history items that carry no answer (LaMP 1 and 7). Pure."""

import re

from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem

PSEUDO = "p:"
"""Before the item's id in the query id of a history item that is asked as a question."""
FEWEST, MOST = 0.10, 0.25
"""Shares of a text's words that a `completion` shows."""


def stand_in_of(task: Task, item: HistoryItem) -> HistoryItem | None:
    """The item with the question and the answer that stand in for its own; None if its text does not give both."""
    if task.stand_in is None:
        return None
    text, answer = _remainder(item) if task.stand_in.make == "remainder" else _completion(item)
    if not text.strip() or not answer.strip():
        return None
    return HistoryItem(item.item_id, text, item.corpus, answer, item.date)


def _remainder(item: HistoryItem) -> tuple[str, str]:
    return item.text, item.corpus.removeprefix(item.text).strip()


def _completion(item: HistoryItem) -> tuple[str, str]:
    """Cut after a share of the words that the item's id decides: equal on every machine."""
    ends = [match.end() for match in re.finditer(r"\S+", item.text)]
    if len(ends) < 2:
        return item.text, ""
    share = FEWEST + (MOST - FEWEST) * int.from_bytes(stable_hash("completion", item.item_id)) / 2**64
    end = ends[max(1, round(share * len(ends))) - 1]
    return item.text[:end].strip(), item.text[end:].strip()


def shown_items(task: Task, items: list[HistoryItem]) -> list[HistoryItem]:
    """The items as examples of a stand-in query: with stand-in answers where those follow the whole text."""
    if task.stand_in is None or task.stand_in.make == "completion":
        return items
    return [stand_in_of(task, item) or item for item in items]


def task_of(task: Task, query_id: str) -> Task:
    """The task of a training query: the stand-in's where a history item without answer is asked."""
    return task.stand_in_task if task.stand_in and query_id.startswith(PSEUDO) else task
