"""Questions made of a user's own rows: the newest items are asked, everything strictly older may be seen."""

from hydra_ray.config import OwnConfig
from hydra_ray.core.records import HistoryItem, Question, User
from hydra_ray.data.rejects import Reject

HISTORY = "history"


def with_questions(user: User, own: OwnConfig) -> tuple[User, list[Reject]]:
    """The user with its newest `own.questions` items as questions; `user.items` are oldest first.

    An item is strictly older than a dated one if its date is earlier or unknown; among undated ones the order of the
    files decides. A user gets all of its questions or none: none if the oldest of them would have fewer than
    `own.min_items` older items (too short a history, or too many items of one day); such a user keeps all items.
    Items that no question may see (the newest question itself, others of its day) leave the history; those that are
    no question either are returned as rejects.
    """
    count = len(user.items)
    asked = range(max(0, count - own.questions), count)
    histories = {i: tuple(j for j in range(count) if _older(user.items, j, i)) for i in asked}
    if not histories or len(histories[asked[0]]) < own.min_items:
        return user, []
    seen = sorted(set().union(*histories.values()))
    place = {old: new for new, old in enumerate(seen)}
    questions = tuple(
        Question(item.item_id, item.text, item.answer, tuple(place[j] for j in histories[i]), item.date)
        for i, item in ((i, user.items[i]) for i in asked)
    )
    rejects = [
        Reject(HISTORY, f"{user.user_id}/{item.item_id}", "not_older", f"of {item.date}")
        for i, item in enumerate(user.items)
        if i not in place and i not in histories
    ]
    return User(user.user_id, user.split, tuple(user.items[i] for i in seen), questions), rejects


def _older(items: tuple[HistoryItem, ...], one: int, other: int) -> bool:
    if items[other].date:
        return items[one].date < items[other].date
    return not items[one].date and one < other
