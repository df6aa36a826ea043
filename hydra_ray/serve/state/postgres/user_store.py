"""The users of a running service and their items in PostgreSQL. See `hydra_ray.serve.state.users.UserStore`.

Two locks, always in this order: of the bucket, which those take who add or delete a user, and of the user's row. So a
new user sees the floors that a deletion leaves, and transactions never wait in a circle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, FitState, UserKey, UserState
from hydra_ray.serve.state.postgres import bulk
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.postgres.deletion_counter import count_deletion
from hydra_ray.serve.state.postgres.fit_claims import FitClaims
from hydra_ray.serve.state.postgres.floors import read_floors, write_floors
from hydra_ray.serve.state.postgres.rows import (
    ITEM_COLUMNS,
    USER_COLUMNS,
    UserRow,
    item_of,
    item_values,
    kept,
    state_values,
)
from hydra_ray.serve.state.postgres.schema import check
from hydra_ray.serve.state.users import (
    Floors,
    HistoryUnreadableError,
    UserRecord,
    check_text,
    fit_recorded,
    highest,
    place_items,
)

_USER = f"SELECT {USER_COLUMNS} FROM users WHERE tenant = %s AND user_id = %s"
_PAGE = (
    f"SELECT {', '.join('u.' + name for name in USER_COLUMNS.split(', '))},"
    f" {', '.join('i.' + name for name in ITEM_COLUMNS.split(', '))}"
    " FROM users u LEFT JOIN LATERAL (SELECT * FROM items WHERE items.number = u.number AND items.tenant = u.tenant"
    " ORDER BY place OFFSET %s LIMIT %s) i ON true WHERE u.tenant = %s AND u.user_id = %s ORDER BY i.place"
)
"""State and items of one moment: one statement sees one state of the database."""
_LOCK_BUCKET = "SELECT pg_advisory_xact_lock(hashtext('hydra_ray ' || current_schema()), %s)"


class PostgresUserStore:
    """Made by `open`; `hydra_ray.serve.state.postgres.schema` makes the tables."""

    def __init__(self, database: Database, buckets: int) -> None:
        self.buckets = buckets
        self._database = database
        claims = FitClaims(database)
        self.claim_fits, self.renew_fits, self.release_fit = claims.claim, claims.renew, claims.release
        self.unfinished_fits = claims.unfinished

    @classmethod
    def open(cls, database: Database, buckets: int | None = None) -> "PostgresUserStore":
        """The store in the database. buckets: how many it must have. Raises UserError: no store, another version's,
        others."""
        have = check(database)
        if buckets not in (None, have):
            raise UserError(f"{database.name}: has {have} buckets where {buckets} are asked for; their number cannot "
                            "change, give another database")  # fmt: skip
        return cls(database, have)

    def close(self) -> None:
        self._database.close()

    # reading

    def state(self, user: UserKey) -> UserState | None:
        row = self._database.read(user.tenant, lambda cursor: _find(cursor, user))
        return row.state if row else None

    def history(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        found = self.page(user, 0, None)
        if found and len(found[1]) != found[0].items:
            raise HistoryUnreadableError(
                f"{self._database.name}: {len(found[1])} items of a user where {found[0].items} were written; restore "
                "the database from a backup"
            )
        return found

    def items(self, user: UserKey) -> list[HistoryItem]:
        found = self.history(user)
        return found[1] if found else []

    def page(self, user: UserKey, first: int, limit: int | None) -> tuple[UserState, list[HistoryItem]] | None:
        """limit: None: all."""
        rows = self._database.read(
            user.tenant,
            lambda cursor: cursor.execute(_PAGE, (first, limit, user.tenant, kept(user.user_id))).fetchall(),
        )
        if not rows:
            return None
        own = len(USER_COLUMNS.split(", "))
        return UserRow.of(rows[0][:own]).state, [item_of(row[own:]) for row in rows if row[own] is not None]

    def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        query = (
            f"SELECT {USER_COLUMNS} FROM users WHERE tenant = %s AND user_id >= %s AND starts_with(user_id, %s)"
            " ORDER BY user_id LIMIT %s"
        )
        values = (tenant, kept(prefix), kept(prefix), limit)
        rows = self._database.read(tenant, lambda cursor: cursor.execute(query, values).fetchall())
        return [(found.user, found.state) for found in map(UserRow.of, rows)]

    def keys(self, bucket: int) -> list[UserKey]:
        return sorted(self.states(bucket), key=lambda user: user.stored)

    # writing

    def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        check_text(items)
        return self._database.write(user.tenant, lambda cursor: self._append(cursor, user, items))

    def _append(self, cursor: Cursor, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        row, is_new = _find(cursor, user, lock=True), False
        if row is None:
            bucket = bucket_of(user.stored, self.buckets)
            cursor.execute(_LOCK_BUCKET, (bucket,))
            row = _find(cursor, user, lock=True)
            if row is None:
                row, is_new = _add(cursor, user, bucket), True
        known: dict[str, tuple[int, HistoryItem]] = {}
        if items and not is_new:
            query = f"SELECT place, {ITEM_COLUMNS} FROM items WHERE number = %s AND tenant = %s AND item_id = ANY(%s)"
            ids = [kept(item.item_id) for item in items]
            for place, *values in cursor.execute(query, (row.number, user.tenant, ids)).fetchall():
                item = item_of(values)
                known[item.item_id] = place, item
        changed = place_items(items, known, row.next_place)
        if not changed and not is_new:
            return row.state
        new = sum(place >= row.next_place for place in changed)
        state = replace(row.state, items=row.state.items + new, revision=row.state.revision + 1)
        places = sorted(changed)
        columns = [list(values) for values in zip(*(item_values(changed[place]) for place in places), strict=True)]
        if places:
            cursor.execute(
                f"INSERT INTO items (number, tenant, place, {ITEM_COLUMNS})"
                " SELECT %s, %s, * FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
                " ON CONFLICT (number, place) DO UPDATE SET text = excluded.text, corpus = excluded.corpus,"
                " answer = excluded.answer, date = excluded.date",
                (row.number, user.tenant, places, *columns),
            )
        _set(cursor, row, state, row.next_place + new)
        return state

    def remove_item(self, user: UserKey, item_id: str) -> tuple[UserState, bool] | None:
        """The rows are dead for every reader at once; their bytes go with the server's vacuum."""

        def work(cursor: Cursor) -> tuple[UserState, bool] | None:
            row = _find(cursor, user, lock=True)
            if row is None:
                return None
            cursor.execute(
                "DELETE FROM items WHERE number = %s AND tenant = %s AND item_id = %s",
                (row.number, user.tenant, kept(item_id)),
            )
            if not cursor.rowcount:
                return row.state, False
            state = replace(row.state, items=row.state.items - 1, revision=row.state.revision + 1)
            _set(cursor, row, state, row.next_place)
            count_deletion(cursor)
            return state, True

        return self._database.write(user.tenant, work)

    def delete(self, user: UserKey, heads: Mapping[Component, int] | None = None) -> bool:
        """The rows are dead for every reader at once; their bytes go with the server's vacuum."""
        bucket = bucket_of(user.stored, self.buckets)

        def work(cursor: Cursor) -> bool:
            cursor.execute(_LOCK_BUCKET, (bucket,))
            floors, row = read_floors(cursor, bucket), _find(cursor, user, lock=True)
            raised = Floors(
                max(floors.revision, row.state.revision if row else 0),
                highest(floors.heads, heads or {}, row.state.heads if row else {}),
            )
            if raised != floors:
                write_floors(cursor, bucket, raised)
            if row:
                cursor.execute("DELETE FROM users WHERE number = %s AND tenant = %s", (row.number, user.tenant))
                count_deletion(cursor)
            return row is not None

        return self._database.write(user.tenant, work)

    def set_fit(
        self,
        user: UserKey,
        fit: FitState,
        *,
        message: str = "",
        fitted_revision: int | None = None,
        heads: Mapping[Component, int] | None = None,
    ) -> UserState | None:
        def work(cursor: Cursor) -> UserState | None:
            row = _find(cursor, user, lock=True)
            # born: the revision before the first
            if row is None or (fitted_revision is not None and fitted_revision < row.born):
                return None
            state = fit_recorded(row.state, fit, message, fitted_revision, heads)
            if state != row.state:
                _set(cursor, row, state, row.next_place)
            return state

        return self._database.write(user.tenant, work)

    # import

    def import_users(self, bucket: int, users: Iterable[tuple[UserKey, Sequence[HistoryItem]]]) -> int:
        some = list(users)
        for _, items in some:
            check_text(items)
        return self._database.write(ALL_TENANTS, lambda cursor: bulk.import_users(cursor, bucket, some))

    def import_heads(self, bucket: int, heads: Mapping[UserKey, Mapping[Component, int]]) -> None:
        def work(cursor: Cursor) -> None:
            rows = bulk.find(cursor, list(heads), lock=True)
            own = [row for row in rows if row.state.fit in ("never", "imported")]
            bulk.set_heads(cursor, {row.number: highest(row.state.heads, heads[row.user]) for row in own})

        del bucket
        self._database.write(ALL_TENANTS, work)

    # copying

    def states(self, bucket: int) -> dict[UserKey, UserState]:
        query = f"SELECT {USER_COLUMNS} FROM users WHERE bucket = %s"
        rows = self._database.read(ALL_TENANTS, lambda cursor: cursor.execute(query, (bucket,)).fetchall())
        return {row.user: row.state for row in map(UserRow.of, rows)}

    def records(self, users: Sequence[UserKey]) -> Iterator[UserRecord]:
        yield from self._database.read(ALL_TENANTS, lambda cursor: bulk.records(cursor, users))

    def put_records(self, bucket: int, records: Sequence[UserRecord]) -> None:
        self._database.write(ALL_TENANTS, lambda cursor: bulk.put(cursor, bucket, records))

    def drop_records(self, bucket: int, users: Sequence[UserKey]) -> None:
        del bucket
        self._database.write(ALL_TENANTS, lambda cursor: bulk.drop(cursor, users))

    def floors(self, bucket: int) -> Floors:
        return self._database.read(ALL_TENANTS, lambda cursor: read_floors(cursor, bucket))

    def set_floors(self, bucket: int, floors: Floors) -> None:
        self._database.write(ALL_TENANTS, lambda cursor: write_floors(cursor, bucket, floors))


def _find(cursor: Cursor, user: UserKey, *, lock: bool = False) -> UserRow | None:
    row = cursor.execute(_USER + (" FOR UPDATE" if lock else ""), (user.tenant, kept(user.user_id))).fetchone()
    return UserRow.of(row) if row else None


def _add(cursor: Cursor, user: UserKey, bucket: int) -> UserRow:
    """A user without items, above the floors; under the bucket's lock."""
    floors = read_floors(cursor, bucket)
    state = UserState(0, floors.revision, floors.heads)
    (number,) = cursor.execute(
        "INSERT INTO users (tenant, user_id, bucket, born, next_place, items, revision, heads, fit, fitted_revision,"
        " message) VALUES (%s, %s, %s, %s, 0, %s, %s, %s, %s, %s, %s) RETURNING number",
        (user.tenant, kept(user.user_id), bucket, floors.revision + 1, *state_values(state)),
    ).fetchone()
    return UserRow(number, user, floors.revision + 1, 0, state)


def _set(cursor: Cursor, row: UserRow, state: UserState, next_place: int) -> None:
    asked = "fit_asked = CASE WHEN fit = 'queued' THEN fit_asked ELSE now() END, " if state.fit == "queued" else ""
    cursor.execute(
        f"UPDATE users SET {asked}next_place = %s, items = %s, revision = %s, heads = %s, fit = %s,"
        " fitted_revision = %s, message = %s WHERE number = %s AND tenant = %s",
        (next_place, *state_values(state), row.number, row.user.tenant),
    )
