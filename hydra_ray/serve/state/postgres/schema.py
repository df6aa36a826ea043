"""The tables: made and brought up to date by numbered scripts, and whose service they are."""

from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database

MIGRATIONS = Path(__file__).parent / "migrations"
"""NNNN_what.sql; one that was released is never changed, the next number does."""

_LOCK = 0x68796472  # "hydr"


def scripts(folder: Path = MIGRATIONS) -> dict[int, str]:
    """Number -> script, in order."""
    return {int(file.name.split("_")[0]): file.read_text() for file in sorted(folder.glob("*.sql"))}


def migrate(database: Database, steps: dict[int, str] | None = None) -> list[int]:
    """Makes the tables, or brings them up to date; returns the scripts that were run. One process at a time works on
    it, others wait.

    Raises UserError: written by a newer version, not UTF-8, cannot be reached, no right to make tables.
    """
    steps = scripts() if steps is None else steps

    def work(cursor: Cursor) -> list[int]:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        encoding = cursor.execute("SHOW server_encoding").fetchone()[0]
        if encoding != "UTF8":
            raise UserError(f"{database.name}: is encoded in {encoding}; give one made with ENCODING 'UTF8'")
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, at timestamptz DEFAULT now())"
        )
        have = _version(cursor, database, max(steps))
        todo = [number for number in steps if number > have]
        for number in todo:
            cursor.execute(steps[number])
            cursor.execute("INSERT INTO schema_version VALUES (%s)", (number,))
        return todo

    return database.write(ALL_TENANTS, work, wait_s=0.0)


def check(database: Database) -> int:
    """The number of buckets of the service whose tables these are. Raises UserError: none, or another version's."""

    def work(cursor: Cursor) -> int:
        if cursor.execute("SELECT to_regclass('schema_version')").fetchone()[0] is None:
            raise UserError(f"{database.name}: holds no service's users; start the service once, or copy a state there")
        newest = max(scripts())
        if _version(cursor, database, newest) < newest:
            raise UserError(f"{database.name}: was written by an older version of hydra_ray; start `hydra-ray serve` "
                            "or `deploy` of this version, which brings it up to date")  # fmt: skip
        row = cursor.execute("SELECT buckets FROM service").fetchone()
        if row is None:
            raise UserError(f"{database.name}: holds no service's users; start the service once, or copy a state there")
        return int(row[0])

    return database.read(ALL_TENANTS, work)


def claim_service(database: Database, service: str, buckets: int) -> None:
    """Makes the tables this service's, unless they are. service: a name of its own, kept in the state folder.

    Raises UserError: they are another's, or have another number of buckets.
    """

    def work(cursor: Cursor) -> None:
        cursor.execute("INSERT INTO service (id, buckets) VALUES (%s, %s) ON CONFLICT DO NOTHING", (service, buckets))
        owner, have = cursor.execute("SELECT id, buckets FROM service").fetchone()
        if owner != service:
            raise UserError(f"{database.name}: holds the users of another state folder; give each service a database, "
                            "or a schema (?options=-csearch_path%3DNAME), of its own")  # fmt: skip
        if have != buckets:
            raise UserError(f"{database.name}: has {have} buckets where {buckets} are asked for; their number cannot "
                            "change, give another database")  # fmt: skip

    database.write(ALL_TENANTS, work, wait_s=0.0)


def confirm_service(database: Database, service: str) -> None:
    """Raises UserError unless these tables are this service's."""
    if service_of(database) != service:
        raise UserError(f"{database.name}: does not hold the users of this state folder; name the database that does, "
                        "or restore it from a backup")  # fmt: skip


def service_of(database: Database) -> str | None:
    """Whose tables these are; None: no service's yet."""

    def work(cursor: Cursor) -> str | None:
        if cursor.execute("SELECT to_regclass('service')").fetchone()[0] is None:
            return None
        row = cursor.execute("SELECT id FROM service").fetchone()
        return str(row[0]) if row else None

    return database.read(ALL_TENANTS, work, wait_s=0.0)


def bypasses_row_security(database: Database) -> str | None:
    """The role, if the server does not hold it to the tenant that a transaction names; else None."""

    def work(cursor: Cursor) -> str | None:
        role, free = cursor.execute(
            "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        return str(role) if free else None

    return database.read(ALL_TENANTS, work)


def _version(cursor: Cursor, database: Database, newest: int) -> int:
    """Raises UserError for a version that is newer than `newest`."""
    have = int(cursor.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0])
    if have > newest:
        raise UserError(f"{database.name}: was written by a newer version of hydra_ray (schema {have}, this one knows "
                        f"{newest}); upgrade hydra_ray")  # fmt: skip
    return have
