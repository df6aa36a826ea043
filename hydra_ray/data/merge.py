"""All items of one user put together: items without repeats, oldest first, and what each question could see."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra_ray.core.dates import is_older
from hydra_ray.core.hashing import split_of
from hydra_ray.core.types import HistoryItem, Question, Split, User
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.rows import SourceRow

BOTH_TEST_SHARE = 1 / 3
"""Share of the users with questions in both splits that become test users."""


@dataclass(slots=True)
class Merged:
    """A user, how many item occurrences were repeats of a kept item, and what could not be used.

    why_no_questions: as `holdout.HeldOut.why_none`; "" where questions are not made of items.
    """

    user: User
    repeats: int = 0
    why_no_questions: str = ""
    rejects: list[Reject] = field(default_factory=list)


def merge_user(rows: Sequence[SourceRow], names: Sequence[str]) -> Merged:
    """One user of its rows (at least one, all of one user, in any order). `names`: the files by their index.

    Items are the union over the rows, the first of an id counts; undated ones stand first, in the order of the files.
    A question's history is its row's items without those that are dated after the question.
    A user with items in both splits (LaMP's time-based split) goes wholly to one, by a hash of the id, as training
    and test users must be disjoint: its other questions are rejects, its items stay.
    """
    rows = sorted(rows, key=lambda row: (row.source, row.position))
    user_id, split = rows[0].user_id, _split(rows)
    merged = Merged(User(user_id, split))
    first: dict[str, HistoryItem] = {}
    for row in rows:
        for item in row.items:
            known = first.setdefault(item.item_id, item)
            if known is item:
                continue
            if known == item:
                merged.repeats += 1
            else:
                where = f"{row.position}/{item.item_id}"
                merged.rejects.append(Reject(names[row.source], where, "conflicting_item", excerpt(item.text)))
    items = sorted(first.values(), key=lambda item: item.date)
    index = {item.item_id: i for i, item in enumerate(items)}
    questions: list[Question] = []
    for row in rows:
        history = sorted({index[item.item_id] for item in row.items})
        for question in row.questions:
            if row.split != split:
                where = f"{row.position}:{question.question_id}"
                detail = f"{user_id} is a {split} user"
                merged.rejects.append(Reject(names[row.source], where, "question_of_other_split", detail))
                continue
            seen = tuple(i for i in history if not is_older(question.date, items[i].date))
            for i in sorted({*history} - {*seen}):
                where = f"{row.position}:{question.question_id}/{items[i].item_id}"
                detail = f"of {items[i].date}, the question is of {question.date}"
                merged.rejects.append(Reject(names[row.source], where, "newer_item", detail))
            questions.append(
                Question(question.question_id, question.text, question.gold, seen, question.date, question.head)
            )
    questions.sort(key=lambda question: question.date)
    merged.user = User(user_id, split, tuple(items), tuple(questions))
    return merged


def _split(rows: Sequence[SourceRow]) -> Split:
    splits = {row.split for row in rows}
    return splits.pop() if len(splits) == 1 else split_of(rows[0].user_id, BOTH_TEST_SHARE)
