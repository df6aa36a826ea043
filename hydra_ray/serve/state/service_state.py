"""Where a service keeps what changes, and the way in: users, usage and deletions."""

from dataclasses import dataclass
from pathlib import Path

from hydra_ray.serve.state.deletions import Deletions
from hydra_ray.serve.state.folders import USERS
from hydra_ray.serve.state.sqlite.deletion_file import DeletionFile
from hydra_ray.serve.state.sqlite.usage_file import UsageFile
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.serve.state.usage import UsageStore
from hydra_ray.serve.state.users import UserStore


@dataclass(frozen=True)
class ServiceState:
    """Pickles: each process opens its own. folder: the state folder (`hydra_ray.serve.state.folders`)."""

    folder: Path

    def open_users(self, buckets: int | None = None) -> UserStore:
        """The store of users, which `init_state` has made. Raises UserError: none, another number of buckets."""
        return SQLiteUserStore.open(self.folder / USERS, buckets)

    def open_usage(self) -> UsageStore:
        """What keys have been used for."""
        return UsageFile(self.folder)

    def deletions(self) -> Deletions:
        """Whether anything was deleted."""
        return DeletionFile(self.folder)
