"""Users with less history, or with questions from after a date: what studies of history length and of changed behaviour
vary."""

from dataclasses import dataclass, field, replace

from hydra_ray.core.dates import is_older, is_since
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.rejects import Reject

SOURCE = "cut"


@dataclass(slots=True)
class CutUser:
    """A user with what is left. rejects: what is not, as `data.rejects` explains. no_questions: why there are none of
    those there were; "" where some are left, or there were none."""

    user: User
    rejects: list[Reject] = field(default_factory=list)
    no_questions: str = ""


def cut_user(user: User, max_history: int | None, questions_after: str | None, min_items: int = 0) -> CutUser:
    """The user as `data.max_history` and `data.questions_after` want it.

    Args:
        user: With its items, oldest first, and its questions.
        max_history: Newest items that are kept of those that all questions see; a later question sees what came in
            between as well. Where all see fewer, each question sees its own newest ones. None: all.
        questions_after: Canonical date. Questions that may be from before it, and those whose date is unknown, are not
            asked; items that are not over before it are in no history. None: any date.
        min_items: History items without which the date leaves a user no questions.
    """
    cut = CutUser(user)
    if questions_after is not None:
        cut = _after(cut, questions_after, min_items)
    if max_history is not None:
        cut = _newest(cut, max_history)
    return cut


def _after(cut: CutUser, date: str, min_items: int) -> CutUser:
    user = cut.user
    asked = [question for question in user.questions if is_since(question.date, date)]
    early = [question for question in user.questions if question not in asked]
    rejects = [
        Reject(SOURCE, f"{user.user_id}/{question.question_id}", "early_question", question.date or "no date")
        for question in early
    ]
    before = {i for i, item in enumerate(user.items) if is_older(item.date, date)}
    questions = [replace(q, history=tuple(i for i in q.history if i in before)) for q in asked]
    why = "before_date" if early and not asked else ""
    if questions and min(len(question.history) for question in questions) < min_items:
        questions, why = [], "too_few_older"
    found = _with_items(replace(user, questions=tuple(questions)), before, "late_item")
    return CutUser(found.user, [*cut.rejects, *rejects, *found.rejects], why)


def _newest(cut: CutUser, most: int) -> CutUser:
    user = cut.user
    everywhere = set(range(len(user.items)))
    for question in user.questions:
        everywhere &= set(question.history)
    safe = sorted(everywhere)
    if len(safe) >= most:
        start = safe[-most]
        questions = [replace(q, history=tuple(i for i in q.history if i >= start)) for q in user.questions]
        kept = {i for i in range(len(user.items)) if i >= start}
    else:
        questions = [replace(question, history=question.history[-most:]) for question in user.questions]
        kept = {i for question in questions for i in question.history} or everywhere
    found = _with_items(replace(user, questions=tuple(questions)), kept, "old_item")
    return CutUser(found.user, [*cut.rejects, *found.rejects], cut.no_questions)


def _with_items(user: User, kept: set[int], reason: str) -> CutUser:
    """The user with some of its items, which its questions' histories are among. reason: of the others."""
    order = sorted(kept)
    place = {old: new for new, old in enumerate(order)}
    questions = tuple(replace(q, history=tuple(place[i] for i in q.history)) for q in user.questions)
    rejects = [_about(user, item, reason) for i, item in enumerate(user.items) if i not in kept]
    return CutUser(replace(user, items=tuple(user.items[i] for i in order), questions=questions), rejects)


def _about(user: User, item: HistoryItem, reason: str) -> Reject:
    return Reject(SOURCE, f"{user.user_id}/{item.item_id}", reason, f"of {item.date}" if item.date else "no date")
