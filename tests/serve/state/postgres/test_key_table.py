"""API keys in the database: the contract, on a real server."""

import time
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.http.keys import Key, Keys, digest_of
from hydra_ray.serve.state.postgres.database import Database
from hydra_ray.serve.state.postgres.key_table import KeyTable
from hydra_ray.serve.state.postgres.schema import migrate, scripts
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import HistoryUnreadableError
from tests.serve.state.postgres_server import PostgresServer

SECRET = "hr-0123456789abcdef"
ACME = Key("acme", digest_of(SECRET), "ci", expires=1_900_000_000.25, requests=60, tokens=9000)
BOLT = Key("bolt", digest_of("hr-of-bolt-0123456789"), "ci")


@pytest.fixture
def state(postgres: PostgresServer, tmp_path: Path) -> ServiceState:
    return ServiceState(tmp_path, postgres.new_url())


@pytest.fixture
def table(state: ServiceState) -> KeyTable:
    state.create_users(4, "service").close()
    return state.open_keys()


def test_keys_are_what_was_added(table: KeyTable) -> None:
    assert table.read() == Keys()
    for key in (BOLT, ACME):
        table.add(key)
    assert table.read() == Keys((ACME, BOLT))
    assert table.read().find(f"Bearer {SECRET}") == ACME
    assert [stored.key for stored in table.list()] == [ACME, BOLT]
    assert [stored.key for stored in table.list("bolt")] == [BOLT]
    assert table.list("nobody") == []
    assert abs(table.list()[0].added.timestamp() - time.time()) < 600
    table.revoke("acme", "ci")
    assert table.read() == Keys((BOLT,))


def test_no_secret_is_in_the_database(table: KeyTable, state: ServiceState, postgres: PostgresServer) -> None:
    table.add(ACME)
    schema = (state.database or "").rpartition("%3D")[2]
    rows = postgres.execute(f"SELECT row(k)::text FROM {schema}.api_keys k", "users")
    assert len(rows) == 1
    assert SECRET not in str(rows)
    assert ACME.digest.hex() in str(rows)


def test_a_name_that_is_taken_and_one_that_there_is_not(table: KeyTable) -> None:
    table.add(ACME)
    table.add(ACME)  # as after a connection that was lost in the commit
    with pytest.raises(UserError, match="acme has a key named 'ci' already: choose another name, or revoke that"):
        table.add(Key("acme", digest_of("another-0123456789"), "ci"))
    assert table.read() == Keys((ACME,))
    with pytest.raises(UserError, match=r"acme has no key named 'CI'; it has ci$"):
        table.revoke("acme", "CI")
    with pytest.raises(UserError, match=r"bolt has no key named 'ci'$"):  # it is another tenant's
        table.revoke("bolt", "ci")
    assert table.read() == Keys((ACME,))


def test_the_server_keeps_tenants_apart(table: KeyTable, state: ServiceState) -> None:
    table.add(ACME)
    database, count = Database(state.database or ""), "SELECT count(*) FROM api_keys"
    assert database.read("bolt", lambda cursor: cursor.execute(count).fetchone()) == (0,)
    assert database.read("acme", lambda cursor: cursor.execute(count).fetchone()) == (1,)


def test_a_database_that_holds_no_service_or_a_newer_ones(state: ServiceState) -> None:
    database = Database(state.database or "")
    with pytest.raises(UserError, match="holds no service's users; start the service once"):
        KeyTable.open(database)
    state.create_users(4, "service").close()
    assert KeyTable.open(database).read() == Keys()
    migrate(database, {**scripts(), max(scripts()) + 1: "ALTER TABLE api_keys RENAME TO renamed"})
    with pytest.raises(UserError, match="written by a newer version of hydra_ray"):
        KeyTable.open(database)
    with pytest.raises(UserError, match='relation "api_keys" does not exist'):  # of a gateway that runs on
        KeyTable(database).read()


def test_a_database_that_is_away_is_one_line(table: KeyTable, postgres: PostgresServer) -> None:
    table.add(ACME)
    postgres.stop("immediate")
    try:
        with pytest.raises(HistoryUnreadableError, match="cannot be used: connection") as caught:
            table.read()
        assert "\n" not in str(caught.value)
    finally:
        postgres.start()
    assert table.read() == Keys((ACME,))


def test_without_a_database_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keys_in_database: there is no `database`"):
        ServiceState(tmp_path).open_keys()
