"""What SQLite files add to the contract of `test_user_store.py`; they are broken in test_bucket_files.py."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey, UserState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from tests.serve.made_up import (
    ANNA,
    generation,
    item,
    of_generation,
    starve,
)
from tests.store.children import start


@pytest.fixture
def store(tmp_path: Path) -> SQLiteUserStore:
    return SQLiteUserStore.create(tmp_path / "users", 4)


def test_a_removed_record_is_gone_from_the_file(store: SQLiteUserStore, tmp_path: Path) -> None:
    secret = "nobody may find this again"
    store.append(ANNA, [item(0), item(1, secret), *(item(i) for i in range(2, 40))])
    store.remove_item(ANNA, item(1).item_id)
    store.close()
    assert not any(secret.encode() in file.read_bytes() for file in (tmp_path / "users").iterdir())


def test_a_deletion_leaves_no_byte(tmp_path: Path) -> None:
    """Also of records that were replaced, and where pages were split: SQLite's secure_delete alone leaves copies."""
    store, rng = SQLiteUserStore.create(tmp_path / "users", 1), random.Random(24)  # a seed where it does
    users = [UserKey("one", f"NAME{i:03d}") for i in range(10)]
    for _ in range(60):
        user = rng.choice(users)
        text = f"TEXT{user.user_id} " + "w" * rng.choice([10, 100, 900, 3000])
        store.append(user, [item(rng.randrange(40), text) for _ in range(3)])
    for user in users[:5]:
        store.delete(user)
    files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert all(user.user_id.encode() not in files for user in users[:5])
    assert any(user.user_id.encode() in files for user in users[5:])


def test_a_killed_deletion_is_finished_by_the_next_one(store: SQLiteUserStore, tmp_path: Path) -> None:
    store.append(ANNA, [item(0, "a SECRET")])
    store.append(ANNA, [item(0, "another")])
    store._files.scrub = lambda bucket: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        store.delete(ANNA)
    again, scrubbed = SQLiteUserStore.open(tmp_path / "users"), []
    scrub = again._files.scrub
    again._files.scrub = lambda bucket: (scrubbed.append(bucket), scrub(bucket))[1]  # type: ignore[method-assign]
    assert not again.delete(ANNA)
    assert not again.delete(ANNA)  # nothing left to do: an unknown user costs no rewriting
    assert scrubbed == [bucket_of(ANNA.stored, 4)]


def test_other_buckets_and_no_store(store: SQLiteUserStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 4 buckets where 8 are asked for"):
        SQLiteUserStore.create(tmp_path / "users", 8)
    with pytest.raises(UserError, match=r"users\.json: No such file.*no store of users"):
        SQLiteUserStore.open(tmp_path)
    (tmp_path / "users" / "users.json").write_text("{")
    with pytest.raises(UserError, match=r"users\.json: broken"):
        SQLiteUserStore.open(tmp_path / "users")
    (tmp_path / "users" / "users.json").write_text('{"format": 99, "buckets": 4}')
    with pytest.raises(UserError, match="another version of hydra_ray"):
        SQLiteUserStore.open(tmp_path / "users")


def test_many_threads(tmp_path: Path) -> None:
    SQLiteUserStore.create(tmp_path / "users", 8)
    store = SQLiteUserStore(tmp_path / "users", 8, most_open=2)
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        barrier.wait()
        for i in range(10):
            store.append(UserKey("t", name), [item(i)])
            store.append(ANNA, [replace(item(i), item_id=f"{name}{i}")])
            assert len(store.items(UserKey("t", name))) == i + 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert store.state(ANNA) == UserState(40, 40)
    assert len(store._files._idle) <= 2


def test_disk_full(tmp_path: Path) -> None:
    """A file may not grow beyond a limit: one line says so, and the last state is whole."""
    store = SQLiteUserStore.create(tmp_path / "users", 1)
    store.append(ANNA, generation(0))
    size = next((tmp_path / "users").glob("*.sqlite")).stat().st_size
    limits = [0, 100, 512, 600, 4096, 4700, 9000, 20_000, size - 1, size]
    process, pipe = start(starve, str(tmp_path / "users"), limits)
    outcomes = []
    expected = 0
    while (message := pipe.recv()) is not None:
        limit, outcome = message
        outcomes.append(outcome)
        if outcome == "done":
            expected = limit
        else:
            assert "cannot write" in outcome
            assert "nothing was written: make room" in outcome
            assert "\n" not in outcome
        assert of_generation(SQLiteUserStore.open(tmp_path / "users").items(ANNA)) == expected
        pipe.send("go")
    process.join()
    assert outcomes.count("done") < len(limits)
    assert store.append(ANNA, generation(99)).items == 12
