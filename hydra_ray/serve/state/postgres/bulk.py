"""Many users at once, inside a transaction across tenants: items come by COPY."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import Component, UserKey, UserState
from hydra_ray.serve.state.postgres.database import Cursor
from hydra_ray.serve.state.postgres.floors import read_floors
from hydra_ray.serve.state.postgres.rows import (
    ITEM_COLUMNS,
    USER_COLUMNS,
    UserRow,
    item_of,
    item_values,
    kept,
    state_values,
)
from hydra_ray.serve.state.users import UserRecord

_OF_USERS = "JOIN unnest(%s::text[], %s::text[]) AS one(t, u) ON tenant = one.t AND user_id = one.u"

# COPY into a table with row-level security is not to be had.
_INCOMING = (
    "CREATE TEMP TABLE IF NOT EXISTS incoming (number bigint, place integer, tenant text, item_id text, text text,"
    " corpus text, answer text, date text) ON COMMIT DELETE ROWS"
)


def find(cursor: Cursor, users: Sequence[UserKey], *, lock: bool = False) -> list[UserRow]:
    """Those of these users that are there, sorted by number."""
    cursor.execute(
        f"SELECT {USER_COLUMNS} FROM users {_OF_USERS} ORDER BY number" + (" FOR UPDATE OF users" if lock else ""),
        _ids(users),
    )
    return [UserRow.of(row) for row in cursor.fetchall()]


def import_users(cursor: Cursor, bucket: int, users: Sequence[tuple[UserKey, Sequence[HistoryItem]]]) -> int:
    """Adds those that are not there, above the bucket's floors; returns how many."""
    known = {row.user for row in find(cursor, [user for user, _ in users])}
    floors = read_floors(cursor, bucket)
    new: dict[UserKey, UserRecord] = {}
    for user, items in users:
        if user not in known and user not in new:
            own = list({item.item_id: item for item in items}.values())  # of one id the last, in the first one's place
            state = UserState(len(own), floors.revision + 1, floors.heads)
            new[user] = UserRecord(user, floors.revision + 1, state, own)
    return _insert(cursor, bucket, list(new.values()))


def put(cursor: Cursor, bucket: int, records: Sequence[UserRecord]) -> None:
    """Writes users as they are elsewhere, in place of those of the same ids."""
    drop(cursor, [record.user for record in records])
    _insert(cursor, bucket, records)


def drop(cursor: Cursor, users: Sequence[UserKey]) -> None:
    """Removes users, their items too."""
    cursor.execute(
        "DELETE FROM users USING unnest(%s::text[], %s::text[]) AS one(t, u) WHERE tenant = one.t AND user_id = one.u",
        _ids(users),
    )


def records(cursor: Cursor, users: Sequence[UserKey]) -> list[UserRecord]:
    """Those of these users that are there, with all items."""
    found = find(cursor, users)
    cursor.execute(
        f"SELECT number, {ITEM_COLUMNS} FROM items WHERE number = ANY(%s) ORDER BY number, place",
        ([row.number for row in found],),
    )
    items = {number: [item_of(row[1:]) for row in rows] for number, rows in groupby(cursor, itemgetter(0))}
    return [UserRecord(row.user, row.born, row.state, items.get(row.number, [])) for row in found]


def set_heads(cursor: Cursor, heads: Mapping[int, Mapping[Component, int]]) -> None:
    """Users, by number, who came with these heads, fitted on the items they have now."""
    cursor.execute(
        "UPDATE users SET heads = one.heads::jsonb, fit = 'imported', fitted_revision = revision"
        " FROM unnest(%s::bigint[], %s::text[]) AS one(n, heads) WHERE number = one.n",
        (list(heads), [json.dumps(dict(versions)) for versions in heads.values()]),
    )


def _insert(cursor: Cursor, bucket: int, new: Sequence[UserRecord]) -> int:
    """Adds users that are not there; one whom another transaction adds meanwhile is left as it is."""
    tenants, ids = _ids([record.user for record in new])
    values = [
        (tenant, user_id, record.born, len(record.items), *state_values(record.state))
        for tenant, user_id, record in zip(tenants, ids, new, strict=True)
    ]
    if not values:
        return 0
    cursor.execute(
        "INSERT INTO users (bucket, tenant, user_id, born, next_place, items, revision, heads, fit, fitted_revision,"
        " message, fit_asked) SELECT %s, t, u, born, next_place, items, revision, heads::jsonb, fit, fitted, message,"
        " CASE WHEN fit = 'queued' THEN now() END"
        " FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::int[], %s::int[], %s::bigint[], %s::text[], %s::text[],"
        " %s::bigint[], %s::text[])"
        " AS one(t, u, born, next_place, items, revision, heads, fit, fitted, message)"
        " ON CONFLICT DO NOTHING RETURNING tenant, user_id, number",
        (bucket, *([*column] for column in zip(*values, strict=True))),
    )
    numbers = {(tenant, user_id): number for tenant, user_id, number in cursor.fetchall()}
    cursor.execute(_INCOMING)
    with cursor.copy(f"COPY incoming (number, place, tenant, {ITEM_COLUMNS}) FROM STDIN") as copy:
        for tenant, user_id, record in zip(tenants, ids, new, strict=True):
            if (number := numbers.get((tenant, user_id))) is not None:
                for place, item in enumerate(record.items):
                    copy.write_row((number, place, tenant, *item_values(item)))
    cursor.execute(
        f"INSERT INTO items (number, place, tenant, {ITEM_COLUMNS})"
        f" SELECT number, place, tenant, {ITEM_COLUMNS} FROM incoming"
    )
    return len(numbers)


def _ids(users: Sequence[UserKey]) -> tuple[list[str], list[str]]:
    return [user.tenant for user in users], [kept(user.user_id) for user in users]
