"""Keys that all gateways read from a real database: added, revoked, and kept for a while when it is away."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hydra_ray.serve.http import stored_keys
from hydra_ray.serve.http.key_file import REREAD_S
from hydra_ray.serve.http.keys import Key, KeysUnavailableError, digest_of
from hydra_ray.serve.http.stored_keys import AWAY_S, KEPT_S, StoredKeyRing
from hydra_ray.serve.state.postgres.key_table import KeyTable
from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.http.live import error_of, serve, settings, until
from tests.serve.state.postgres_server import PostgresServer

FIRST, SECOND, STRANGER = (f"Bearer hr-key-number-{i}-0123456789" for i in (1, 2, 3))


def key(authorization: str, name: str, tenant: str = "acme", expires: float | None = None) -> Key:
    return Key(tenant, digest_of(authorization.removeprefix("Bearer ")), name, expires)


@pytest.fixture
def state(postgres: PostgresServer, tmp_path: Path) -> ServiceState:
    made = ServiceState(tmp_path, postgres.new_url())
    made.create_users(4, "service").close()
    return made


@pytest.fixture
def table(state: ServiceState) -> Iterator[KeyTable]:
    made = state.open_keys()
    made.add(key(FIRST, "first"))
    yield made
    made.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_gateway_knows_within_five_seconds() -> None:
    assert REREAD_S < AWAY_S < 5 < KEPT_S


def test_keys_are_known_and_revoked_as_the_table_says(table: KeyTable) -> None:
    clock = Clock()
    ring = StoredKeyRing(table.read, clock)
    with pytest.raises(KeysUnavailableError):  # nothing was read yet
        ring.find(FIRST)
    ring.refresh()
    assert ring.find(FIRST) == key(FIRST, "first")
    assert ring.find(SECOND) is None
    table.add(key(SECOND, "second", "bolt"))
    table.revoke("acme", "first")
    ring.refresh()
    assert ring.find(FIRST) is None
    assert ring.find(SECOND) == key(SECOND, "second", "bolt")


def test_while_the_database_is_away_known_keys_count_for_a_while_and_others_are_not_refused_for_good(
    table: KeyTable, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    ring = StoredKeyRing(table.read, clock)
    ring.refresh()
    caplog.clear()
    postgres.stop("immediate")
    try:
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                clock.now += REREAD_S
                ring.refresh()
        assert len(caplog.records) == 1
        assert "API keys are not read now: database 'users' at" in caplog.text
        assert "those that were read before count 298 s more" in caplog.text
        assert ring.find(FIRST) is not None
        with pytest.raises(KeysUnavailableError):
            ring.find(STRANGER)
        assert ring.find(None) is None, "who sends no key is refused in any case"
        clock.now = Clock.now + KEPT_S
        assert ring.find(FIRST) is not None
        clock.now += 0.1
        with pytest.raises(KeysUnavailableError):
            ring.find(FIRST)
    finally:
        postgres.start()
    ring.refresh()
    assert ring.find(FIRST) is not None
    assert ring.find(STRANGER) is None


def test_a_read_that_hangs_counts_as_away(table: KeyTable) -> None:
    clock = Clock()
    ring = StoredKeyRing(table.read, clock)
    ring.refresh()
    clock.now += AWAY_S
    assert ring.find(STRANGER) is None
    clock.now += 0.1
    with pytest.raises(KeysUnavailableError):
        ring.find(STRANGER)
    assert ring.find(FIRST) is not None


def status(url: str, authorization: str) -> int:
    return httpx.get(f"{url}/v1/users", headers={"Authorization": authorization}).status_code


def test_two_gateways_refuse_a_revoked_key_and_say_503_when_they_cannot_know(
    state: ServiceState, table: KeyTable, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.add(key(SECOND, "over", expires=time.time() - 1))
    with (
        serve(settings(read_keys=state.open_keys().read)) as one,
        serve(settings(read_keys=state.open_keys().read)) as two,
    ):
        urls = (one.url, two.url)
        assert [status(url, FIRST) for url in urls] == [200, 200]
        assert [status(url, STRANGER) for url in urls] == [401, 401]
        assert [status(url, SECOND) for url in urls] == [401, 401]  # it has expired
        table.add(key(STRANGER, "new", "bolt"))
        until(lambda: [status(url, STRANGER) for url in urls] == [200, 200])
        table.revoke("acme", "first")
        until(lambda: [status(url, FIRST) for url in urls] == [401, 401])
        postgres.stop("immediate")
        try:
            until(lambda: [status(url, FIRST) for url in urls] == [503, 503])
            assert [status(url, STRANGER) for url in urls] == [200, 200]  # was read before
            answer = httpx.get(f"{one.url}/v1/users", headers={"Authorization": FIRST})
            assert (error_of(answer)["code"], answer.headers["retry-after"]) == ("keys_unavailable", "2")
            assert httpx.get(f"{one.url}/v1/users").status_code == 401
            assert httpx.get(f"{one.url}/healthz").status_code == 200
            with monkeypatch.context() as later:
                later.setattr(stored_keys, "KEPT_S", 0.0)
                assert [status(url, STRANGER) for url in urls] == [503, 503]
        finally:
            postgres.start()
        until(lambda: [status(url, FIRST) for url in urls] == [401, 401])
        assert [status(url, STRANGER) for url in urls] == [200, 200]
