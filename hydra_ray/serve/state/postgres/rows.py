"""Users and items to and from rows. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserKey, UserState

Row = Sequence[Any]

USER_COLUMNS = "number, tenant, user_id, born, next_place, items, revision, heads, fit, fitted_revision, message"
ITEM_COLUMNS = "item_id, text, corpus, answer, date"

_ESCAPED = re.compile(r"\\(.)", re.S)


def kept(text: str) -> str:
    """A text as the database keeps it, which takes no NUL: that is written as `\\0`, and a backslash twice."""
    if "\0" in text or "\\" in text:
        return text.replace("\\", "\\\\").replace("\0", "\\0")
    return text


def given(text: str) -> str:
    """The inverse of `kept`."""
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else found[1], text) if "\\" in text else text


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user. number: in the database. born: see `UserRecord`. next_place: of the next item."""

    number: int
    user: UserKey
    born: int
    next_place: int
    state: UserState

    @classmethod
    def of(cls, row: Row) -> "UserRow":
        """From a row of USER_COLUMNS."""
        number, tenant, user_id, born, next_place, items, revision, heads, fit, fitted_revision, message = row
        state = UserState(items, revision, heads, fit, fitted_revision, given(message))
        return cls(number, UserKey(tenant, given(user_id)), born, next_place, state)


def state_values(state: UserState) -> tuple[Any, ...]:
    """items, revision, heads, fit, fitted_revision, message."""
    heads = json.dumps(dict(state.heads))
    return state.items, state.revision, heads, state.fit, state.fitted_revision, kept(state.message)


def item_values(item: HistoryItem) -> tuple[str, str, str | None, str, str]:
    """As ITEM_COLUMNS."""
    corpus = None if item.corpus == item.text else kept(item.corpus)
    return kept(item.item_id), kept(item.text), corpus, kept(item.answer), kept(item.date)


def item_of(row: Row) -> HistoryItem:
    """From a row of ITEM_COLUMNS."""
    item_id, text, corpus, answer, date = row
    text = given(text)
    return HistoryItem(given(item_id), text, text if corpus is None else given(corpus), given(answer), given(date))
