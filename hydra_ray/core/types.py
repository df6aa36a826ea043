"""The three records everything else is made of: a history item, a question, a user."""

from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One past record of a user.

    text: what was asked (the task's `text_fields`, joined); the LLM sees it as an example's text.
    corpus: what retrieval searches (the task's `corpus_fields`, joined); often title + text.
    answer: the user's own answer, "" where the task's items carry none (`answer_field: null`).
    date: ISO 8601 in UTC, a year, a day or a moment, which sorts as text (`hydra_ray.core.dates`); "" if
    unknown.
    """

    item_id: str
    text: str
    corpus: str
    answer: str
    date: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a user. `history` holds the indices into `User.items` that existed when it was asked.

    gold: the right answer, None where it is not known. head: what stands before `text` in LaMP's `input`.
    """

    question_id: str
    text: str
    gold: str | None
    history: tuple[int, ...]
    date: str = ""
    head: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A user with the union of all history items (oldest first) and the questions to train on or to evaluate."""

    user_id: str
    split: Split
    items: tuple[HistoryItem, ...] = field(default=())
    questions: tuple[Question, ...] = field(default=())

    def history_of(self, question: Question) -> list[HistoryItem]:
        """The items that existed when `question` was asked, oldest first."""
        return [self.items[i] for i in question.history]

    def safe_history(self) -> list[HistoryItem]:
        """The items visible to every question of this user, oldest first.

        Only these may be learned from: an item that a later question sees may be an earlier question itself.
        """
        if not self.questions:
            return list(self.items)
        common = set(self.questions[0].history)
        for question in self.questions[1:]:
            common &= set(question.history)
        return [self.items[i] for i in sorted(common)]


def user_to_row(user: User, bucket: int) -> dict[str, Any]:
    """The Parquet row of a user (see `hydra_ray.data.reader` for the schema)."""
    return {
        "user_id": user.user_id,
        "bucket": bucket,
        "split": user.split,
        "items": [
            {"item_id": i.item_id, "text": i.text, "corpus": i.corpus, "answer": i.answer, "date": i.date}
            for i in user.items
        ],
        "questions": [
            {
                "question_id": q.question_id,
                "text": q.text,
                "gold": q.gold,
                "history": list(q.history),
                "date": q.date,
                "head": q.head,
            }
            for q in user.questions
        ],
    }


def user_from_row(row: dict[str, Any]) -> User:
    """The inverse of `user_to_row`."""
    return User(
        user_id=row["user_id"],
        split=row["split"],
        items=tuple(HistoryItem(**item) for item in row["items"]),
        questions=tuple(Question(**{**q, "history": tuple(int(i) for i in q["history"])}) for q in row["questions"]),
    )
