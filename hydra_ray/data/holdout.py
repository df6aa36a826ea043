"""Questions made of a user's own rows: the newest items are asked, everything strictly older may be seen."""

from dataclasses import dataclass, field

from hydra_ray.config import TabularConfig
from hydra_ray.core.dates import is_older
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.data.rejects import Reject

HISTORY = "history"


@dataclass(slots=True)
class HeldOut:
    """A user with its questions.

    why_none: "" where there are questions, else `too_few_items`, `undated` (no item has a date) or `too_few_older` (of
    too many items cannot be placed before or after the questions: they share a date, or have none).
    rejects: as `data.rejects` explains.
    """

    user: User
    why_none: str = ""
    rejects: list[Reject] = field(default_factory=list)


def with_questions(user: User, tabular: TabularConfig) -> HeldOut:
    """The user with its newest `data.tabular.questions` items as questions; `user.items` are oldest first.

    An item may be seen if its date is over before the question's begins (`data.dates.is_older`). Items without a date
    are neither asked nor seen by any question, as it is unknown when they were written; they stay in the history. The
    order of the files decides where the config says that there are no dates (`date_field: null`), and for users
    without a single date where it goes on without those that cannot be read (`bad_dates: undated`).

    A user gets all of its questions or none: none if one of them would have fewer than `min_items` older items
    (too short a history, or too many items of one day); such a user keeps all items. Items that no question may see
    (the newest question itself, others of its day) leave the history; those that are no question either are rejects.
    """
    items = user.items
    dated = [i for i, item in enumerate(items) if item.date]
    in_order = not dated and (tabular.date_field is None or tabular.bad_dates == "undated")
    undated = [] if in_order else [i for i, item in enumerate(items) if not item.date]
    usable = list(range(len(items))) if in_order else dated
    held_out = usable[-tabular.questions :]
    histories = {i: tuple(j for j in usable if _is_before(items, j, i)) for i in held_out}
    rejects = [_about(user, items[i], "undated_item", "no date that can be read") for i in undated]
    if not histories or min(len(history) for history in histories.values()) < tabular.min_items:
        return HeldOut(user, _why_none(items, tabular), rejects)
    kept = sorted({*undated, *(i for history in histories.values() for i in history)})
    place = {old: new for new, old in enumerate(kept)}
    questions = tuple(
        Question(item.item_id, item.text, item.answer, tuple(place[j] for j in histories[i]), item.date)
        for i, item in ((i, items[i]) for i in held_out)
    )
    rejects += [
        _about(user, item, "not_older", f"of {item.date}")
        for i, item in enumerate(items)
        if i not in place and i not in histories
    ]
    return HeldOut(User(user.user_id, user.split, tuple(items[i] for i in kept), questions), "", rejects)


def _why_none(items: tuple[HistoryItem, ...], tabular: TabularConfig) -> str:
    if len(items) < tabular.questions + tabular.min_items:
        return "too_few_items"
    return "too_few_older" if any(item.date for item in items) else "undated"


def _about(user: User, item: HistoryItem, reason: str, detail: str) -> Reject:
    return Reject(HISTORY, f"{user.user_id}/{item.item_id}", reason, detail)


def _is_before(items: tuple[HistoryItem, ...], one: int, other: int) -> bool:
    if items[other].date:
        return is_older(items[one].date, items[other].date)
    return one < other
