"""What only a database adds: connections that are lost, servers that are away, schemas, tenants kept apart by the
server itself."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey, UserState
from hydra_ray.serve.config import FitterConfig, ServeConfig
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor, Database
from hydra_ray.serve.state.postgres.driver import mistake_in, shown
from hydra_ray.serve.state.postgres.schema import bypasses_row_security, migrate, scripts
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import HistoryUnreadableError, UserStore
from tests.serve.made_up import ANNA, BERT, hold_a_transaction, item
from tests.serve.state.postgres_server import GUARDED, PASSWORD, ROLE, PostgresServer
from tests.store.children import start


@pytest.fixture
def state(postgres: PostgresServer, tmp_path: Path) -> ServiceState:
    return ServiceState(tmp_path, postgres.new_url())


@pytest.fixture
def store(state: ServiceState) -> Iterator[UserStore]:
    made = state.create_users(4, "service")
    yield made
    made.close()


def end_connections(server: PostgresServer) -> None:
    """As a restart or a failover does."""
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


def test_lost_connections_are_replaced(store: UserStore, postgres: PostgresServer) -> None:
    store.append(ANNA, [item(0)])
    for change in (lambda: store.append(ANNA, [item(1)]), lambda: store.state(ANNA), lambda: store.items(ANNA)):
        end_connections(postgres)
        change()
    assert store.history(ANNA) == (UserState(2, 2), [item(0), item(1)])


def test_a_connection_lost_in_mid_change_does_it_once(store: UserStore, postgres: PostgresServer) -> None:
    work, calls = store._append, []  # type: ignore[attr-defined]

    def cut(cursor: Cursor, *args: object) -> object:
        found = work(cursor, *args)
        calls.append(1)
        if len(calls) == 1:
            end_connections(postgres)
        return found

    store._append = cut  # type: ignore[attr-defined]
    assert store.append(ANNA, [item(0)]) == UserState(1, 1)
    assert len(calls) == 2
    assert store.history(ANNA) == (UserState(1, 1), [item(0)])


def test_a_server_that_is_away_is_one_line_and_comes_back(
    store: UserStore, state: ServiceState, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(ANNA, [item(0)])
    deletions = state.deletions()
    for wait in ("_read_s", "_write_s"):
        monkeypatch.setattr(store._database, wait, 0.0)  # type: ignore[attr-defined]
    postgres.stop("immediate")  # a crash
    try:
        for read in (store.state, store.history):
            with pytest.raises(HistoryUnreadableError) as caught:
                read(ANNA)
            line = str(caught.value)
            assert line.startswith(f"database 'users' at {postgres.folder}: cannot be used: connection")
            assert "\n" not in line
        with pytest.raises(UserError, match="cannot be used"):
            store.append(ANNA, [item(1)])
        assert not deletions.new()
    finally:
        postgres.start()
    assert store.history(ANNA) == (UserState(1, 1), [item(0)])
    store.delete(ANNA)
    assert deletions.new()


def test_once_a_server_was_waited_for_in_vain_reads_do_not_wait(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    connect, attempts = psycopg.connect, []

    def counted(**parameters: object) -> object:
        attempts.append(parameters)
        return connect(**parameters)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg, "connect", counted)
    database = Database(postgres.url(ROLE), read_s=0.5)

    def attempts_of_a_read() -> int:
        attempts.clear()
        with pytest.raises(HistoryUnreadableError):
            database.read(ALL_TENANTS, lambda cursor: cursor.execute("SELECT 1"))
        return len(attempts)

    postgres.stop("immediate")
    try:
        assert attempts_of_a_read() > 2
        assert attempts_of_a_read() == attempts_of_a_read() == 2
    finally:
        postgres.start()
    database.read(ALL_TENANTS, lambda cursor: cursor.execute("SELECT 1"))
    database.close()
    postgres.stop("immediate")
    try:
        assert attempts_of_a_read() > 2  # it had come back
    finally:
        postgres.start()


@pytest.mark.cluster
def test_a_writer_killed_in_mid_transaction_leaves_nothing_and_no_lock(store: UserStore, state: ServiceState) -> None:
    store.append(ANNA, [item(0)])
    process, pipe = start(hold_a_transaction, state)
    assert pipe.recv() == "in it"  # it has changed ANNA and added BERT, and keeps both locked
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert store.append(ANNA, [item(1)]) == UserState(2, 2)
    assert store.history(ANNA) == (UserState(2, 2), [item(0), item(1)])
    assert store.state(BERT) is None


def test_the_server_itself_keeps_tenants_apart(store: UserStore, state: ServiceState) -> None:
    store.append(UserKey("mine", "u"), [item(0)])
    store.append(UserKey("theirs", "u"), [item(0), item(1)])
    state.open_usage().add({}, 0)
    database = Database(state.database or "")
    assert bypasses_row_security(database) is None

    def counted(cursor: Cursor) -> list[int]:
        """By queries that name no tenant."""
        return [cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("users", "items")]

    assert database.read("mine", counted) == [1, 1]
    assert database.read("theirs", counted) == [1, 2]
    assert database.read("nobody", counted) == database.read("", counted) == [0, 0]
    assert database.read(ALL_TENANTS, counted) == [2, 3]
    with database._connection(9e9) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)  # no way around
    for odd in ("it's", "\\'; SET ROLE postgres; --", "%s"):
        assert database.read(odd, lambda cursor: cursor.execute(
            "SELECT current_setting('hydra_ray.tenant'), current_user").fetchone()) == (odd, ROLE)  # fmt: skip
    with pytest.raises(UserError, match="row-level security"):
        database.write("mine", lambda cursor: cursor.execute("UPDATE users SET tenant = 'theirs', user_id = 'x'"))


def test_a_role_that_bypasses_row_security_is_named(postgres: PostgresServer) -> None:
    assert bypasses_row_security(Database(postgres.url())) == "postgres"


def test_migrations_run_once_and_a_newer_schema_is_refused(postgres: PostgresServer, state: ServiceState) -> None:
    database = Database(state.database or "")
    with pytest.raises(UserError, match="holds no service's users; start the service once"):
        state.open_users()
    assert [migrate(database), migrate(database)] == [list(scripts()), []]
    newest = max(scripts())
    more = {**scripts(), newest + 1: "ALTER TABLE service ADD COLUMN more text"}
    assert migrate(database, more) == [newest + 1]
    words = rf"written by a newer version of hydra_ray \(schema {newest + 1}, this one knows {newest}\)"
    for opened in (lambda: migrate(database), lambda: state.open_users(), lambda: state.create_users(4, "service")):
        with pytest.raises(UserError, match=words):
            opened()


def test_a_broken_migration_changes_nothing(state: ServiceState) -> None:
    database = Database(state.database or "")
    with pytest.raises(UserError, match="cannot be used"):
        migrate(database, {**scripts(), max(scripts()) + 1: "CREATE TABLE fine (); SELECT nonsense"})
    assert migrate(database) == list(scripts())


def test_an_older_schema_is_refused_until_it_is_brought_up_to_date(state: ServiceState) -> None:
    first, *later = scripts()
    assert migrate(Database(state.database or ""), {first: scripts()[first]}) == [first]
    with pytest.raises(UserError, match="written by an older version of hydra_ray; start `hydra-ray serve`"):
        state.open_users()
    state.create_users(4, "service").close()
    assert state.open_users().buckets == 4
    assert later


def test_a_database_of_another_service_or_number_of_buckets(store: UserStore, state: ServiceState) -> None:
    assert state.create_users(4, "service").buckets == 4
    with pytest.raises(UserError, match="holds the users of another state folder; give each service a database, or a"):
        state.create_users(4, "another")
    with pytest.raises(UserError, match="has 4 buckets where 8 are asked for"):
        state.create_users(8, "service")
    with pytest.raises(UserError, match="has 4 buckets where 8 are asked for"):
        state.open_users(8)


@pytest.mark.parametrize(
    ("role", "database", "words"),
    [("nobody", "users", 'role "nobody" does not exist'), (ROLE, "none", 'database "none" does not exist')],
)
def test_a_wrong_role_or_database_is_one_line(postgres: PostgresServer, role: str, database: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        migrate(Database(postgres.url(role, database)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [("wr0ng-Pa55word", f'password authentication failed for user "{GUARDED}"'), (None, "no password supplied")],
)
def test_a_wrong_password_is_one_line_without_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, given: str | None, words: str
) -> None:
    monkeypatch.delenv("PGPASSFILE", raising=False)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    database = Database(postgres.url(GUARDED))
    assert database.read(ALL_TENANTS, lambda cursor: cursor.execute(b"SELECT 1").fetchone())
    database.close()
    monkeypatch.setenv("PGPASSWORD", given) if given else monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(UserError, match=words) as caught:
        migrate(Database(postgres.url(GUARDED)))
    assert "\n" not in str(caught.value)
    assert "Pa55word" not in str(caught.value)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    for url in (
        "postgresql://me:s3cret@host/db",
        "postgresql://me@host/db?password=s3cret",
        "postgresql://:s3cret@/db",
    ):
        assert mistake_in(url).startswith("holds a password")
        for made in (lambda url=url: Database(url), lambda url=url: ServeConfig(run="r", database=url)):
            with pytest.raises((UserError, ValueError)) as caught:
                made()
            assert "PGPASSWORD" in str(caught.value)
        assert "s3cret" not in mistake_in(url) + shown(url)
    assert mistake_in("mysql://me@host/db") == mistake_in("host/db") != ""
    assert mistake_in("postgresql://me@host:5432,other/db?target_session_attrs=read-write") == ""
    assert shown("postgresql://me@host:5432/db") == "database 'db' at host:5432"


def test_several_fitters_need_a_database() -> None:
    several = FitterConfig(replicas=(1, 4))
    assert ServeConfig(run="r", database="postgresql://host/db", fitter=several).fitter.replicas == (1, 4)
    with pytest.raises(ValueError, match="without a `database` the fitter must be one alone"):
        ServeConfig(run="r", fitter=several)
