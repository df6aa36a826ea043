"""The queue of fits: rows of users that workers lock past each other, and have under a lease."""

from collections.abc import Sequence

from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.postgres.rows import given, kept

_CLAIM = (
    "UPDATE users SET fit = 'running', fit_worker = %s, fit_until = now() + %s * interval '1 second'"
    " WHERE number IN (SELECT number FROM users WHERE fit IN ('queued', 'running')"
    " AND (fit_until IS NULL OR fit_until < now()){of_one} ORDER BY fit_asked LIMIT %s FOR UPDATE SKIP LOCKED)"
    " RETURNING tenant, user_id"
)
"""Who has waited longest comes first; a row that another worker has in hand is passed over, not waited for."""


class FitClaims:
    """See `hydra_ray.serve.state.users.UserStore`: what workers do, across tenants. The server's clock counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, worker: str, limit: int, lease_s: float, user: UserKey | None = None) -> list[UserKey]:
        of_one = " AND tenant = %s AND user_id = %s" if user else ""
        values = (worker, lease_s, *((user.tenant, kept(user.user_id)) if user else ()), limit)

        def work(cursor: Cursor) -> list[UserKey]:
            cursor.execute(_CLAIM.format(of_one=of_one), values)
            return [UserKey(tenant, given(user_id)) for tenant, user_id in cursor.fetchall()]

        return self._database.write(ALL_TENANTS, work)

    def renew(self, worker: str, users: Sequence[UserKey], lease_s: float) -> None:
        self._end(worker, users, lease_s, worker)

    def release(self, worker: str, user: UserKey, wait_s: float = 0.0) -> None:
        self._end(worker, [user], wait_s, None)

    def unfinished(self) -> int:
        """See `UserStore.unfinished_fits`."""

        def work(cursor: Cursor) -> int:
            cursor.execute("SELECT count(*) FROM users WHERE fit IN ('queued', 'running')")
            return int(cursor.fetchall()[0][0])

        return self._database.read(ALL_TENANTS, work)

    def _end(self, worker: str, users: Sequence[UserKey], in_s: float, then: str | None) -> None:
        values = (
            then,
            in_s,
            [user.tenant for user in users],
            [kept(user.user_id) for user in users],
            worker,
        )
        self._database.write(
            ALL_TENANTS,
            lambda cursor: cursor.execute(
                "UPDATE users SET fit_worker = %s, fit_until = now() + %s * interval '1 second'"
                " FROM unnest(%s::text[], %s::text[]) AS one(tenant, user_id)"
                " WHERE users.tenant = one.tenant AND users.user_id = one.user_id AND fit_worker = %s",
                values,
            ),
        )
