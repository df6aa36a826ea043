"""Where a service keeps what changes, and the way in: users, usage, keys and deletions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.serve.state.deletions import Deletions
from hydra_ray.serve.state.folders import USERS
from hydra_ray.serve.state.postgres.database import Database
from hydra_ray.serve.state.postgres.deletion_counter import DeletionCounter
from hydra_ray.serve.state.postgres.key_table import KeyTable
from hydra_ray.serve.state.postgres.schema import bypasses_row_security, claim_service, confirm_service, migrate
from hydra_ray.serve.state.postgres.usage_table import UsageTable
from hydra_ray.serve.state.postgres.user_store import PostgresUserStore
from hydra_ray.serve.state.sqlite.deletion_file import DeletionFile
from hydra_ray.serve.state.sqlite.usage_file import UsageFile
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.serve.state.usage import UsageStore
from hydra_ray.serve.state.users import UserStore


@dataclass(frozen=True)
class ServiceState:
    """Pickles: each process opens its own. folder: the state folder (`hydra_ray.serve.state.folders`).
    database: URL of the PostgreSQL database that holds users, usage and the queue of fits; None: SQLite files in the
    folder do."""

    folder: Path
    database: str | None = None

    def create_users(self, buckets: int, service: str) -> UserStore:
        """The store of users: the one that is there, or what an earlier call had begun, or a new one.

        service: a name of its own for the service whose users these are; one database holds one service's. For one
        process at a time. Raises UserError: another number of buckets, another service's, or nothing can be written.
        """
        if not self.database:
            return SQLiteUserStore.create(self.folder / USERS, buckets)
        database = Database(self.database)
        migrate(database)
        claim_service(database, service, buckets)
        return PostgresUserStore.open(database, buckets)

    def check_users(self, service: str | None, log: Callable[[str], None]) -> None:
        """Brings the tables of a database up to date. Raises UserError if they are not the service's; says where the
        server does not keep tenants apart by itself."""
        if not self.database or not service:
            return
        database = Database(self.database)
        confirm_service(database, service)
        migrate(database)
        if role := bypasses_row_security(database):
            log(f"{database.name}: the role {role!r} bypasses row-level security; another would be held to its tenant")
        database.close()

    def open_users(self, buckets: int | None = None) -> UserStore:
        """The store of users, which `init_state` has made. Raises UserError: none, another number of buckets."""
        if self.database:
            return PostgresUserStore.open(Database(self.database), buckets)
        return SQLiteUserStore.open(self.folder / USERS, buckets)

    def open_usage(self) -> UsageStore:
        """What keys have been used for."""
        if self.database:
            return UsageTable(Database(self.database, most=1))
        return UsageFile(self.folder)

    def open_keys(self) -> KeyTable:
        """API keys in the database. Raises UserError where there is none."""
        if not self.database:
            raise UserError("keys_in_database: there is no `database`; name one, or a file of keys with `keys`")
        return KeyTable(Database(self.database, most=1))

    def deletions(self) -> Deletions:
        """Whether anything was deleted."""
        if self.database:
            return DeletionCounter(Database(self.database, most=1))
        return DeletionFile(self.folder)
