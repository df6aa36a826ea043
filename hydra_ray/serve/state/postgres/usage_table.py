"""What keys have been used for, in the database."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from hydra_ray.errors import UserError
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.usage import KEPT_DAYS, KEPT_MINUTES, Slot, UsageUnavailableError, Used

T = TypeVar("T")
_COLUMNS = "tenant, key, name, day::text, requests, refused, tokens"


class UsageTable:
    """See `hydra_ray.serve.state.usage.UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counted: Mapping[Slot, Used], minute: int) -> dict[str, Used]:
        # In one order, lest two gateways wait for each other.
        slots = sorted(counted.items(), key=lambda entry: (entry[0].tenant, entry[0].key, entry[0].day))

        def work(cursor: Cursor) -> dict[str, Used]:
            for slot, used in slots:
                cursor.execute(
                    "INSERT INTO usage_days (tenant, key, day, name, requests, refused, tokens)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (tenant, key, day) DO UPDATE SET"
                    " name = excluded.name, requests = usage_days.requests + excluded.requests,"
                    " refused = usage_days.refused + excluded.refused, tokens = usage_days.tokens + excluded.tokens",
                    (slot.tenant, slot.key, slot.day, slot.name, used.requests, used.refused, used.tokens),
                )
                cursor.execute(
                    "INSERT INTO usage_minutes (key, minute, requests, tokens) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT (key, minute) DO UPDATE SET requests = usage_minutes.requests + excluded.requests,"
                    " tokens = usage_minutes.tokens + excluded.tokens",
                    (slot.key, slot.minute, used.requests, used.tokens),
                )
            cursor.execute("DELETE FROM usage_minutes WHERE minute < %s", (minute - KEPT_MINUTES,))
            cursor.execute("DELETE FROM usage_days WHERE day < current_date - %s::integer", (KEPT_DAYS,))
            cursor.execute("SELECT key, requests, tokens FROM usage_minutes WHERE minute = %s", (minute,))
            return {key: Used(requests, 0, tokens) for key, requests, tokens in cursor.fetchall()}

        # What a lost connection leaves in doubt counts twice at worst, for one key's two seconds.
        return _worded(lambda: self._database.write(ALL_TENANTS, work))

    def days(self, tenant: str, since: str) -> list[tuple[Slot, Used]]:
        def work(cursor: Cursor) -> list[tuple[Slot, Used]]:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM usage_days WHERE tenant = %s AND day >= %s::date ORDER BY day, name, key",
                (tenant, since),
            )
            return [_entry(*row) for row in cursor.fetchall()]

        return _worded(lambda: self._database.read(tenant, work))

    def all_days(self) -> list[tuple[Slot, Used]]:
        def work(cursor: Cursor) -> list[tuple[Slot, Used]]:
            cursor.execute(f"SELECT {_COLUMNS} FROM usage_days ORDER BY day, tenant, name, key")
            return [_entry(*row) for row in cursor.fetchall()]

        return _worded(lambda: self._database.read(ALL_TENANTS, work))

    def put_days(self, days: list[tuple[Slot, Used]]) -> None:
        def work(cursor: Cursor) -> None:
            cursor.executemany(
                "INSERT INTO usage_days (tenant, key, name, day, requests, refused, tokens)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (tenant, key, day) DO UPDATE SET"
                " name = excluded.name, requests = excluded.requests, refused = excluded.refused,"
                " tokens = excluded.tokens",
                [(s.tenant, s.key, s.name, s.day, used.requests, used.refused, used.tokens) for s, used in days],
            )

        _worded(lambda: self._database.write(ALL_TENANTS, work))


def _entry(tenant: str, key: str, name: str, day: str, requests: int, refused: int, tokens: int) -> tuple[Slot, Used]:
    return Slot(tenant, key, name, day, 0), Used(requests, refused, tokens)


def _worded(work: Callable[[], T]) -> T:
    try:
        return work()
    except UserError as error:
        raise UsageUnavailableError(str(error)) from None
