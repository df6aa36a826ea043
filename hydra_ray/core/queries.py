"""The queries of a user: real questions, and history items asked as questions (pseudo-queries)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.stand_in_queries import PSEUDO, stand_in_of
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem, User

REAL_ROW = "q:"
"""Before the question's id in the query id of a real question: what no user is trained on whom it tests."""


@dataclass(frozen=True, slots=True)
class Query:
    """Something to ask with a known answer, the items it may see, and the item it must not see (itself).

    head: what stands before `text` in LaMP's `input`, "" where the data says nothing.
    """

    query_id: str
    text: str
    gold: str
    history: tuple[HistoryItem, ...]
    exclude: str | None
    pseudo: bool
    head: str = ""

    @property
    def question_id(self) -> str | None:
        """The id of the data's question that this is; None where the data has no such question."""
        return None if self.pseudo or not self.query_id else self.query_id.removeprefix(REAL_ROW)


def make_query(text: str) -> Query:
    """A query of nothing but its text, as users of the service ask."""
    return Query("", text, "", (), None, False)


def asked_item(query_id: str) -> str | None:
    """The id of the history item that a query asks, by the query's id; None for a question."""
    return None if query_id.startswith(REAL_ROW) else query_id.partition(":")[2] or None


def draw_items(items: Sequence[HistoryItem], count: int, seed: int, user_id: str) -> list[HistoryItem]:
    """`count` items, drawn by seed, user and item id alone: no other user or item changes the draw."""
    return sorted(items, key=lambda item: stable_hash(seed, user_id, item.item_id))[:count]


def pseudo_queries(user: User, count: int, seed: int = 0, task: Task | None = None) -> list[Query]:
    """Up to `count` of the user's safe history items, asked as questions; each sees all the other safe items.

    Items without text or answer cannot be asked; where the `task` has a stand-in for them, that is asked.
    Nothing here is, or is newer than, a question that is evaluated.
    """
    safe = tuple(user.safe_history())
    make_query = {q.text for q in user.questions}
    usable = [item for item in safe if item.answer and item.text and item.text not in make_query]
    if task is not None and task.stand_in is not None:
        usable = [made for item in safe if item.text not in make_query and (made := stand_in_of(task, item))]
    return [
        Query(f"{PSEUDO}{item.item_id}", item.text, item.answer, safe, item.item_id, True)
        for item in draw_items(usable, count, seed, user.user_id)
        if len(safe) > 1
    ]


def history_queries(user: User, task: Task) -> list[Query]:
    """The user's safe history items, oldest first, as questions that were asked when each was new: a query's history
    are the safe items before it.

    Items without text or answer are left out; where the task has a stand-in for them, that is asked.
    """
    safe, asked = user.safe_history(), {question.text for question in user.questions}
    found = []
    for place, item in enumerate(safe):
        made: HistoryItem | None = item
        if task.stand_in is not None:
            made = stand_in_of(task, item)
        if made is not None and made.answer and made.text and item.text not in asked:
            query_id = f"{PSEUDO}{item.item_id}"
            found.append(Query(query_id, made.text, made.answer, tuple(safe[:place]), None, True))
    return found


def unseen_items(queries: Sequence[Query]) -> dict[str, frozenset[str]]:
    """What each of a user's queries may not see where answers are counted: query id -> ids of history items.

    A pseudo-query that counts all items but its own gives its answer away: within one user, every answer is counted
    once less exactly where it is the right one, and a user's head learns that instead of the user. So all
    pseudo-queries of a user leave out the same items, their own and each other's. Where that would be more than half
    of the history, they do so in groups. Real questions see their whole history.

    Args:
        queries: Of one user, with one history for the pseudo-queries.
    """
    pseudo = [query for query in queries if query.exclude is not None]
    unseen: dict[str, frozenset[str]] = {query.query_id: frozenset() for query in queries}
    if pseudo:
        groups = -(-2 * len(pseudo) // len(pseudo[0].history))
        for first in range(groups):
            group = pseudo[first::groups]
            own = frozenset(query.exclude for query in group if query.exclude is not None)
            unseen |= {query.query_id: own for query in group}
    return unseen


def real_queries(user: User, limit: int | None) -> list[Query]:
    """The user's questions that have a gold answer, newest last, at most `limit` (the newest)."""
    questions = [q for q in user.questions if q.gold is not None]
    if limit is not None:
        questions = questions[-limit:]
    return [
        Query(f"{REAL_ROW}{q.question_id}", q.text, q.gold or "", tuple(user.history_of(q)), None, False, q.head)
        for q in questions
    ]


def training_queries(
    user: User, pseudo: int, questions: int | None, seed: int = 0, task: Task | None = None
) -> list[Query]:
    """What heads learn from: a training user's questions and pseudo-queries, a test user's pseudo-queries alone."""
    real = real_queries(user, questions) if user.split == "train" else []
    return real + pseudo_queries(user, pseudo, seed, task)
