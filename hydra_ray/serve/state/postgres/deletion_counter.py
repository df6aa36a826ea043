"""Deletions, counted in the database by the transactions that delete."""

from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.users import HistoryUnreadableError


def count_deletion(cursor: Cursor) -> None:
    """Part of every transaction that deletes, and its last statement: others that delete wait for its end."""
    cursor.execute("UPDATE service SET deletions = deletions + 1")


class DeletionCounter:
    """See `hydra_ray.serve.state.deletions.Deletions`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = self._count()

    def announce(self) -> None:
        """Nothing is left to do."""

    def new(self) -> bool:
        """While the database is away, nothing is new: no deletion can be made then. The count tells afterwards."""
        now = self._count()
        if now is None:
            return False
        before, self._seen = self._seen, now
        return before != now

    def _count(self) -> int | None:
        try:
            return self._database.read(
                ALL_TENANTS,
                lambda cursor: int(cursor.execute("SELECT deletions FROM service").fetchone()[0]),
                wait_s=0.0,
            )
        except HistoryUnreadableError:
            return None
