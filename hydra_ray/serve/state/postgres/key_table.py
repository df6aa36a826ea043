"""API keys in the database, by their hashes: what all gateways read, and what adds and revokes them."""

from dataclasses import dataclass
from datetime import datetime

from hydra_ray.errors import UserError
from hydra_ray.serve.http.keys import Key, Keys
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.postgres.schema import check

_COLUMNS = "tenant, digest, name, extract(epoch FROM expires)::float8, requests, tokens"
SHOWN_NAMES = 10
"""Of other keys in a message."""


@dataclass(frozen=True)
class StoredKey:
    """A key and when it was added."""

    key: Key
    added: datetime


class KeyTable:
    """For many threads and processes. Every method raises HistoryUnreadableError while the database is away, and
    UserError where it cannot be written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, database: Database) -> "KeyTable":
        """The keys of a service that has been started. Raises UserError: there is none, or it is of another version."""
        check(database)
        return cls(database)

    def read(self) -> Keys:
        """All keys, expired ones too. While the database is away this does not wait for it."""
        query = f"SELECT {_COLUMNS} FROM api_keys ORDER BY tenant, name"
        rows = self._database.read(ALL_TENANTS, lambda cursor: cursor.execute(query).fetchall(), wait_s=0.0)
        return Keys(tuple(Key(*row) for row in rows))

    def list(self, tenant: str | None = None) -> list[StoredKey]:
        """The keys of a tenant, or of all, by tenant and name."""
        query = f"SELECT {_COLUMNS}, added FROM api_keys ORDER BY tenant, name"
        rows = self._database.read(tenant or ALL_TENANTS, lambda cursor: cursor.execute(query).fetchall())
        return [StoredKey(Key(*row), added) for *row, added in rows]

    def add(self, key: Key) -> None:
        """Gateways know it within two seconds. Raises UserError: the tenant has a key of that name."""

        def work(cursor: Cursor) -> None:
            cursor.execute(
                "INSERT INTO api_keys (tenant, name, digest, expires, requests, tokens)"
                " VALUES (%s, %s, %s, to_timestamp(%s), %s, %s) ON CONFLICT (tenant, name) DO NOTHING",
                (key.tenant, key.name, key.digest, key.expires, key.requests, key.tokens),
            )
            query = "SELECT digest FROM api_keys WHERE tenant = %s AND name = %s"
            (digest,) = cursor.execute(query, (key.tenant, key.name)).fetchone()
            if digest != key.digest:  # else this is its second attempt
                raise UserError(f"{key.tenant} has a key named {key.name!r} already: choose another name, or revoke "
                                "that key first")  # fmt: skip

        self._database.write(key.tenant, work)

    def revoke(self, tenant: str, name: str) -> None:
        """Gateways refuse it within two seconds. Raises UserError: the tenant has no key of that name."""
        names: set[str] = set()

        def work(cursor: Cursor) -> None:
            query = "SELECT name FROM api_keys WHERE tenant = %s"
            names.update(row[0] for row in cursor.execute(query, (tenant,)).fetchall())
            cursor.execute("DELETE FROM api_keys WHERE tenant = %s AND name = %s", (tenant, name))

        self._database.write(tenant, work)
        if name not in names:
            some = sorted(names)[:SHOWN_NAMES]
            others = f"; it has {', '.join(some)}{', ...' if len(names) > len(some) else ''}" if some else ""
            raise UserError(f"{tenant} has no key named {name!r}{others}")

    def close(self) -> None:
        """Closes its connections."""
        self._database.close()
