"""Users, their items and facts about a bucket, to and from rows with a checksum over their values. Pure.

SQLite notices a page that makes no sense, but not a letter that changed: a broken disk would answer with another text.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import Component, UserState

Row = tuple[Any, ...]

MOST_ITEMS = 1 << 32
"""Items of one user at most: place = the user's number * MOST_ITEMS + how many came before, which keeps a history
together in the file, in order, under one integer key."""


class BrokenRowError(Exception):
    """A row does not hold what was written."""


def digest(values: Sequence[Any]) -> int:
    """blake2b of the values as JSON, 8 bytes as a signed integer, as SQLite's are. The values are text, int or None."""
    text = json.dumps(values, ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _sealed(*values: Any, context: Sequence[Any] = ()) -> Row:
    """The values and their digest. context: what the row belongs to; in the digest, but not in the row."""
    return (*values, digest([*context, *values]))


def _opened(row: Row, context: Sequence[Any] = ()) -> Row:
    """The inverse of `_sealed`. Raises BrokenRowError."""
    try:
        if digest([*context, *row[:-1]]) == row[-1]:
            return row[:-1]
    except (TypeError, ValueError):  # bytes where text was, or text that is none
        pass
    raise BrokenRowError("a row's checksum is wrong")


@dataclass(frozen=True, slots=True)
class About:
    """What a bucket's file records about the bucket.

    floor_revision, floor_heads: the highest revision and head versions of users deleted from this bucket. A new user
    begins above them, so that an index or a head that is still kept of a deleted user is never taken for that of a new
    user with the same id.
    deletions, scrubbed: how many there were, and how many of them the file has been rewritten after.
    """

    bucket: int
    buckets: int
    floor_revision: int = 0
    floor_heads: Mapping[Component, int] = field(default_factory=dict)
    deletions: int = 0
    scrubbed: int = 0

    def row(self) -> Row:
        """As stored."""
        floors = self.floor_revision, json.dumps(dict(self.floor_heads))
        return _sealed(self.bucket, self.buckets, *floors, self.deletions, self.scrubbed)

    @classmethod
    def of(cls, row: Row) -> "About":
        """The inverse of `row`. Raises BrokenRowError."""
        bucket, buckets, revision, heads, deletions, scrubbed = _opened(row)
        return cls(bucket, buckets, revision, json.loads(heads), deletions, scrubbed)


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user. number: in the file. stored: the id (`UserKey.stored`). born: the revision the user began at."""

    number: int
    stored: str
    born: int
    state: UserState

    def row(self) -> Row:
        """As stored."""
        s = self.state
        facts = (s.items, s.revision, json.dumps(dict(s.heads)), s.fit, s.fitted_revision, s.message)
        return _sealed(self.number, self.stored, self.born, *facts)

    @classmethod
    def of(cls, row: Row) -> "UserRow":
        """The inverse of `row`. Raises BrokenRowError."""
        number, stored, born, items, revision, heads, fit, fitted_revision, message = _opened(row)
        state = UserState(items, revision, json.loads(heads), fit, fitted_revision, message)
        return cls(number, stored, born, state)

    @property
    def places(self) -> tuple[int, int]:
        """The first place of the user's items and the first that is another's."""
        return self.number * MOST_ITEMS, (self.number + 1) * MOST_ITEMS


def item_row(user: UserRow, i: int, item: HistoryItem) -> Row:
    """The user's i-th item as stored; the digest covers whose it is."""
    corpus = None if item.corpus == item.text else item.corpus
    return _sealed(user.places[0] + i, item.item_id, item.text, corpus, item.answer, item.date, context=[user.stored])


def items_of(user: UserRow, rows: Sequence[Row]) -> list[HistoryItem]:
    """All items of a user, in order. Raises BrokenRowError: one is broken, missing, or of another user."""
    items = items_from(user, 0, rows)
    if len(items) != user.state.items:
        raise BrokenRowError(f"{len(items)} items where {user.state.items} were written")
    return items


def items_from(user: UserRow, first: int, rows: Sequence[Row]) -> list[HistoryItem]:
    """A user's items from place `first` on. Raises BrokenRowError: one is broken, missing, or of another user."""
    items = []
    for i, row in enumerate(rows, first):
        place, item_id, text, corpus, answer, date = _opened(row, [user.stored])
        if place != user.places[0] + i:
            raise BrokenRowError("an item is missing")
        items.append(HistoryItem(item_id, text, text if corpus is None else corpus, answer, date))
    return items
