"""`hydra-ray state copy`: from files to a database and back, and what may go wrong."""

import json
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state import copy_state as module
from hydra_ray.serve.state.binding import service_in_database
from hydra_ray.serve.state.copy_state import copy_state
from hydra_ray.serve.state.postgres.user_store import PostgresUserStore
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.usage import Slot, Used
from hydra_ray.serve.state.users import Floors, UserRecord, UserStore
from tests.serve.made_up import ANNA, item
from tests.serve.state.postgres_server import PostgresServer

KEYS = [UserKey(tenant, f"user {i}") for tenant in ("one", "two") for i in range(8)]
DAY = Slot("one", "k", "ci", "2999-06-30", 0)

Contents = list[tuple[Floors, list[UserRecord]]]


def contents(store: UserStore) -> Contents:
    """Everything, by bucket."""
    found = []
    for bucket in range(store.buckets):
        records = sorted(store.records(store.keys(bucket)), key=lambda record: record.user.stored)
        found.append((store.floors(bucket), records))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared state folder, with users in files."""
    state = ServiceState(tmp_path / "state")
    store = state.create_users(4, "unused")
    (state.folder / "serving.json").write_text(json.dumps({"run": "made-up", "tenant": "one", "database": None}))
    for number, user in enumerate(KEYS):
        store.append(user, [item(i) for i in range(number)])
    store.remove_item(KEYS[3], item(1).item_id)
    store.set_fit(KEYS[2], "queued", message="said", fitted_revision=1, heads={"reranker": 3})
    store.delete(KEYS[1], {"adapter": 4})
    state.open_usage().put_days([(DAY, Used(1, 2, 3))])
    store.close()
    return state.folder


def test_there_and_back(folder: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]) -> None:
    url, before = postgres.new_url(), contents(ServiceState(folder).open_users())
    assert main(["state", "copy", str(folder), url]) == 0
    assert "15 users are in postgresql://" in capsys.readouterr().err
    there = ServiceState(folder, url)
    assert contents(there.open_users()) == before
    assert there.open_usage().all_days() == [(DAY, Used(1, 2, 3))]
    service = service_in_database(folder, url)
    assert service
    there.check_users(service, print)
    with pytest.raises(UserError, match="its users are in a PostgreSQL database: give its URL"):
        service_in_database(folder, None)

    store = there.open_users()
    store.append(KEYS[4], [item(99)])
    store.delete(KEYS[5])
    store.append(ANNA, [item(0)])
    after = contents(store)
    assert main(["state", "copy", url, str(folder)]) == 0
    assert contents(ServiceState(folder).open_users()) == after != before
    assert service_in_database(folder, None) is None
    assert main(["state", "copy", str(folder), url]) == 0
    assert contents(there.open_users()) == after
    assert service_in_database(folder, url) == service


def test_killed_and_called_again(folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url, put, calls = postgres.new_url(), PostgresUserStore.put_records, []
    killings: list[int] = []
    monkeypatch.setattr(module, "AT_ONCE", 2)

    def killed(store: PostgresUserStore, bucket: int, records: list[UserRecord]) -> None:
        put(store, bucket, records)
        calls.extend(record.user for record in records)
        if len(calls) >= 6 and not killings:
            killings.append(len(calls))
            raise KeyboardInterrupt

    monkeypatch.setattr(PostgresUserStore, "put_records", killed)
    with pytest.raises(KeyboardInterrupt):
        copy_state(str(folder), url, lambda line: None)
    assert service_in_database(folder, None) is None  # the files count
    assert copy_state(str(folder), url, lambda line: None) == 15
    assert sorted(calls, key=lambda user: user.stored) == sorted(
        (user for user in KEYS if user != KEYS[1]), key=lambda user: user.stored
    )
    assert contents(ServiceState(folder, url).open_users()) == contents(ServiceState(folder).open_users())


def test_users_who_change_meanwhile(folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url, put, service = postgres.new_url(), PostgresUserStore.put_records, ServiceState(folder).open_users()
    changed = next(user for user in KEYS if bucket_of(user.stored, 4) == 0)

    def meanwhile(store: PostgresUserStore, bucket: int, records: list[UserRecord]) -> None:
        put(store, bucket, records)
        if bucket == 3:
            service.append(changed, [item(77)])

    with monkeypatch.context() as patch:
        patch.setattr(PostgresUserStore, "put_records", meanwhile)
        with pytest.raises(UserError, match="changed while they were copied: stop the service, run the same command"):
            copy_state(str(folder), url, lambda line: None)
    assert service_in_database(folder, None) is None
    copy_state(str(folder), url, lambda line: None)
    assert contents(ServiceState(folder, url).open_users()) == contents(service)


def test_what_cannot_be_copied(folder: Path, postgres: PostgresServer, tmp_path: Path) -> None:
    url, other = postgres.new_url(), postgres.new_url()
    for ends in ((url, other), (str(folder), str(folder))):
        with pytest.raises(UserError, match="name one state folder and one postgresql://"):
            copy_state(*ends, print)
    with pytest.raises(UserError, match=r"holds no service's state \(serving.json is missing\)"):
        copy_state(str(tmp_path), url, print)
    with pytest.raises(UserError, match="keeps its users in files: stop the service and move them with"):
        copy_state(url, str(folder), print)
    ServiceState(tmp_path, other).create_users(4, "another service")
    with pytest.raises(UserError, match="holds the users of another state folder"):
        copy_state(str(folder), other, print)
    assert service_in_database(folder, None) is None
    copy_state(str(folder), url, lambda line: None)
    with pytest.raises(UserError, match="does not hold the users of this state folder"):
        copy_state(other, str(folder), print)
    assert service_in_database(folder, url)
