"""`hydra-ray keys` on a real database."""

import re
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.state.postgres.database import Database
from hydra_ray.serve.state.postgres.schema import migrate, scripts
from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.state.postgres_server import PostgresServer


@pytest.fixture
def state(postgres: PostgresServer, tmp_path: Path) -> ServiceState:
    made = ServiceState(tmp_path, postgres.new_url())
    made.create_users(4, "service").close()
    return made


class Commands:
    """The command line of one database."""

    def __init__(self, state: ServiceState, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._capsys = state.database or "", capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(["keys", *words, "--database", self._url])
        return code, *self._capsys.readouterr()


@pytest.fixture
def keys(state: ServiceState, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(state, capsys)


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(keys: Commands, state: ServiceState) -> None:
    code, secret, printed = keys("add", "acme", "ci", "--expires", "2127-06-30", "--requests", "60", "--tokens", "9000")
    assert (code, printed) == (0, "hydra-ray: the key ci of acme, shown this once\n")
    assert re.fullmatch(r"hr-[\w-]{43}\n", secret)
    assert keys("add", "bolt", "app")[0] == 0
    found = state.open_keys().read().find(f"Bearer {secret.strip()}")
    assert found
    assert (found.tenant, found.name, found.requests, found.tokens) == ("acme", "ci", 60, 9000)

    code, table, printed = keys("list")
    assert (code, printed) == (0, "")
    head, first, second = table.splitlines()
    assert head.split() == ["TENANT", "NAME", "ID", "ADDED", "EXPIRES", "REQUESTS", "TOKENS"]
    assert re.fullmatch(rf"acme +ci +{found.id} +\S+ \S+ +2127-07-01 00:00 +60 +9000", first)
    assert re.fullmatch(r"bolt +app +[0-9a-f]{12} +\S+ \S+ +never +- +-", second)
    assert secret.strip() not in table
    assert keys("list", "--tenant", "bolt")[1].splitlines()[1].split() == second.split()

    assert keys("revoke", "acme", "ci") == (0, "", "hydra-ray: the key ci of acme is revoked\n")
    assert state.open_keys().read().find(f"Bearer {secret.strip()}") is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["add", "acme", "ci"], "acme has a key named 'ci' already"),
        (["add", "acme", "old", "--expires", "2001-01-01"], "keys add: --expires 2001-01-01: is in the past"),
        (["add", "acme", "old", "--expires", "soon"], "keys add: expires='soon': is no date"),
        (["add", "acme", "two words"], "keys add: name='two words': must be 1 to 64 letters"),
        (["add", "no tenant", "ci"], "'no tenant' is no tenant"),
        (["add", "acme", "none", "--requests", "0"], "keys add: requests='0': must be a whole number"),
        (["revoke", "acme", "other"], "acme has no key named 'other'; it has ci"),
        (["revoke", "bolt", "ci"], "bolt has no key named 'ci'"),
    ],
)
def test_what_cannot_be_is_one_line(keys: Commands, state: ServiceState, words: list[str], expected: str) -> None:
    assert keys("add", "acme", "ci")[0] == 0
    before = state.open_keys().read()
    code, out, printed = keys(*words)
    assert (code, out) == (2, "")
    assert printed.count("\n") == 1
    assert expected in printed
    assert state.open_keys().read() == before


def test_databases_of_no_service_and_of_a_newer_one(
    postgres: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ServiceState(tmp_path, postgres.new_url())
    keys = Commands(state, capsys)
    assert "holds no service's users; start the service once" in keys("add", "acme", "ci")[2]
    migrate(Database(state.database or ""), {**scripts(), max(scripts()) + 1: "SELECT 1"})
    for words in (("add", "acme", "ci"), ("list",), ("revoke", "acme", "ci")):
        code, out, printed = keys(*words)
        assert (code, out) == (2, "")
        assert "was written by a newer version of hydra_ray" in printed
    assert Keys() == state.open_keys().read()
