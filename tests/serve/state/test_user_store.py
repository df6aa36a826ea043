"""The store of users: what it promises to callers; its files are broken in test_bucket_files.py."""

import contextlib
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import FitState, UserKey, UserState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from tests.serve.made_up import (
    ANNA,
    BERT,
    append_own,
    generation,
    item,
    of_generation,
    starve,
    write_for_ever,
)
from tests.store.children import start


@pytest.fixture
def store(tmp_path: Path) -> SQLiteUserStore:
    return SQLiteUserStore.create(tmp_path / "users", 4)


def test_append_is_seen_by_every_other_store(store: SQLiteUserStore, tmp_path: Path) -> None:
    other = SQLiteUserStore.open(tmp_path / "users")
    assert (other.state(ANNA), other.history(ANNA), other.items(ANNA)) == (None, None, [])
    assert store.append(ANNA, [item(0), item(1)]) == UserState(2, 1)
    assert other.history(ANNA) == (UserState(2, 1), [item(0), item(1)])
    assert other.append(ANNA, [item(2)]) == UserState(3, 2)
    assert store.items(ANNA) == [item(0), item(1), item(2)]
    assert store.state(BERT) is None


def test_a_known_record_is_replaced_in_its_place(store: SQLiteUserStore) -> None:
    store.append(ANNA, [item(0), item(1)])
    new = item(0, "other text")
    assert store.append(ANNA, [new, item(2)]) == UserState(3, 2)
    assert store.items(ANNA) == [new, item(1), item(2)]
    assert store.append(ANNA, [new, item(1)]) == UserState(3, 2)  # nothing new
    assert store.append(ANNA, [item(1, "x"), item(1)]) == UserState(3, 2)  # the last one counts
    assert store.append(ANNA, []) == UserState(3, 2)


def test_one_record_is_removed_and_the_others_keep_their_order(store: SQLiteUserStore, tmp_path: Path) -> None:
    store.append(ANNA, [item(i) for i in range(5)])
    store.append(BERT, [item(i) for i in range(3)])
    assert store.remove_item(ANNA, item(1).item_id) == (UserState(4, 2), True)
    assert store.remove_item(ANNA, item(4).item_id) == (UserState(3, 3), True)
    assert store.remove_item(ANNA, item(4).item_id) == (UserState(3, 3), False)
    kept = [item(0), item(2), item(3)]
    assert SQLiteUserStore.open(tmp_path / "users").history(ANNA) == (UserState(3, 3), kept)
    assert store.append(ANNA, [item(7)]) == UserState(4, 4)
    assert store.items(ANNA) == [*kept, item(7)]
    assert store.items(BERT) == [item(i) for i in range(3)]
    assert store.remove_item(UserKey("default", "nobody"), "x") is None
    for left in (*kept, item(7)):
        store.remove_item(ANNA, left.item_id)
    assert store.history(ANNA) == (UserState(0, 8), [])


def test_a_removed_record_is_gone_from_the_file(store: SQLiteUserStore, tmp_path: Path) -> None:
    secret = "nobody may find this again"
    store.append(ANNA, [item(0), item(1, secret), *(item(i) for i in range(2, 40))])
    store.remove_item(ANNA, item(1).item_id)
    store.close()
    assert not any(secret.encode() in file.read_bytes() for file in (tmp_path / "users").iterdir())


def test_a_page_is_a_part_of_the_history(store: SQLiteUserStore) -> None:
    store.append(ANNA, [item(i) for i in range(5)])
    store.append(BERT, [item(9)])
    assert store.page(ANNA, 1, 2) == (UserState(5, 1), [item(1), item(2)])
    assert store.page(ANNA, 4, 9) == (UserState(5, 1), [item(4)])
    assert store.page(ANNA, 5, 9) == (UserState(5, 1), [])
    assert store.page(ANNA, 0, 0) == (UserState(5, 1), [])
    assert store.page(UserKey("default", "nobody"), 0, 9) is None


def test_a_user_without_records(store: SQLiteUserStore) -> None:
    assert store.append(ANNA, []) == UserState(0, 1)
    assert store.history(ANNA) == (UserState(0, 1), [])


def unfinished(store: SQLiteUserStore) -> list[UserKey]:
    found = [user for bucket in range(store.buckets) for user in store.unfinished(bucket)]
    return sorted(found, key=lambda user: user.stored)


def test_fits(store: SQLiteUserStore) -> None:
    assert store.set_fit(ANNA, "queued") is None
    store.append(ANNA, [item(0)])
    store.append(BERT, [item(0)])
    assert store.set_fit(ANNA, "running") == UserState(1, 1, {}, "running")
    assert store.set_fit(BERT, "queued") == UserState(1, 1, {}, "queued")
    assert unfinished(store) == [ANNA, BERT]
    store.append(ANNA, [item(1)])
    store.set_fit(ANNA, "done", message="fine", fitted_revision=1, heads={"reranker": 7})
    assert store.state(ANNA) == UserState(2, 2, {"reranker": 7}, "done", 1, "fine")
    store.set_fit(ANNA, "failed", heads={"adapter": 3, "reranker": 6})
    assert store.state(ANNA) == UserState(2, 2, {"reranker": 7, "adapter": 3}, "failed", 1, "")
    assert unfinished(store) == [BERT]


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_fit_that_ends_leaves_the_one_queued_that_was_asked_for_meanwhile(
    store: SQLiteUserStore, end: FitState
) -> None:
    store.append(ANNA, [item(0)])
    for fit in ("queued", "running", "queued"):
        store.set_fit(ANNA, fit)
    store.set_fit(ANNA, end, message="said", fitted_revision=1, heads={"reranker": 7})
    assert store.state(ANNA) == UserState(1, 1, {"reranker": 7}, "queued", 1, "said")


def test_a_new_user_with_a_deleted_users_id_begins_above_all_the_old_one_had(store: SQLiteUserStore) -> None:
    store.append(ANNA, [item(0)])
    store.append(ANNA, [item(1)])
    store.set_fit(ANNA, "done", fitted_revision=2, heads={"adapter": 9})
    assert store.delete(ANNA, {"reranker": 5, "adapter": 8})
    assert (store.state(ANNA), store.items(ANNA)) == (None, [])
    assert not store.delete(ANNA, {"reranker": 6})
    assert store.append(ANNA, [item(2)]) == UserState(1, 3, {"reranker": 6, "adapter": 9})
    assert store.items(ANNA) == [item(2)]


def test_a_fit_of_a_deleted_users_records_does_not_reach_their_successor(store: SQLiteUserStore) -> None:
    read = store.append(ANNA, [item(0)]).revision
    store.delete(ANNA)
    now = store.append(ANNA, [item(0)])
    assert store.set_fit(ANNA, "done", fitted_revision=read, heads={"reranker": 5}) is None
    assert store.state(ANNA) == now


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


def test_listing(store: SQLiteUserStore) -> None:
    for tenant in ("one", "two"):
        for name in ("b", "ab", "a", "aé", "a%", "c"):
            store.append(UserKey(tenant, name), [item(0)])
    assert [user.user_id for user, _ in store.users("one", "", 10)] == ["a", "a%", "ab", "aé", "b", "c"]
    assert store.users("two", "a", 2) == [
        (UserKey("two", "a"), UserState(1, 1)),
        (UserKey("two", "a%"), UserState(1, 1)),
    ]
    assert store.users("on", "", 10) == []
    assert sorted(key.stored for bucket in range(4) for key in store.keys(bucket)) == sorted(
        UserKey(t, n).stored for t in ("one", "two") for n in ("b", "ab", "a", "aé", "a%", "c")
    )


def test_import_adds_only_the_unknown_and_names_heads(store: SQLiteUserStore) -> None:
    bucket = bucket_of(ANNA.stored, 4)
    store.append(ANNA, [item(9)])
    assert store.import_users(bucket, [(ANNA, [item(0)])]) == 0
    new = next(user for i in range(99) if bucket_of((user := UserKey("one", f"u{i}")).stored, 4) == bucket)
    rows = [(ANNA, [item(0)]), (new, [item(0), item(1)])]
    assert [store.import_users(bucket, rows) for _ in range(2)] == [1, 0]
    for _ in range(2):
        store.import_heads(bucket, {new: {"reranker": 4}, UserKey("one", "nobody"): {"reranker": 4}})
    assert store.state(new) == UserState(2, 1, {"reranker": 4}, "imported", 1)
    assert store.items(ANNA) == [item(9)]


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


def test_half_a_character(store: SQLiteUserStore) -> None:
    with pytest.raises(UserError, match="'item0' holds half a character"):
        store.append(ANNA, [item(0, "\ud800")])
    assert store.state(ANNA) is None


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ITEMS = st.lists(st.builds(HistoryItem, st.sampled_from("abcdef"), TEXT, TEXT, TEXT, TEXT), max_size=5)
STEPS = st.lists(st.tuples(st.sampled_from(["ann", "ann'", "é\0", "%"]), st.none() | ITEMS), max_size=15)


@settings(max_examples=20)
@given(STEPS)
def test_any_sequence_of_appends_and_deletions(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[HistoryItem] | None]]
) -> None:
    """Against a dictionary; a revision never comes back, whatever is deleted."""
    stores = [SQLiteUserStore.create(tmp_path_factory.mktemp("model") / "users", 2)]
    stores.append(SQLiteUserStore.open(stores[0]._files._folder))
    model: dict[str, dict[str, HistoryItem]] = {}
    seen: dict[str, dict[int, list[HistoryItem]]] = {}
    for step, (name, items) in enumerate(steps):
        user, store = UserKey("t", name), stores[step % 2]
        before = store.state(user)
        if items is None:
            assert store.delete(user) == (model.pop(name, None) is not None)
        else:
            was = dict(model.get(name, {}))
            model.setdefault(name, {}).update({some.item_id: some for some in items})
            after = store.append(user, items)
            assert before is None or after.revision - before.revision == (model[name] != was)
        found = stores[0].history(user)
        assert (found is None) == (name not in model)
        if found:
            assert found == (stores[1].state(user), list(model[name].values()))
            assert seen.setdefault(name, {}).setdefault(found[0].revision, found[1]) == found[1]
    for store in stores:
        store.close()


def test_killed_writer(tmp_path: Path) -> None:
    """SIGKILL at a random moment: what was said to be done is there, whole, and the next writer goes on."""
    SQLiteUserStore.create(tmp_path / "users", 1).append(ANNA, generation(0))
    rng, last = random.Random(1), 0
    for _ in range(8):
        process, pipe = start(write_for_ever, str(tmp_path / "users"), last + 1)
        events = [pipe.recv() for _ in range(rng.randrange(1, 8))]
        time.sleep(rng.uniform(0, 0.003))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                events.append(pipe.recv())
        store = SQLiteUserStore.open(tmp_path / "users")
        history = store.history(ANNA)
        assert history is not None
        begun, done = (max((g for word, g in events if word == which), default=last) for which in ("begun", "done"))
        last = of_generation(history[1])
        assert done <= last <= begun
        assert all(of_generation(store.items(user)) <= begun for user in store.keys(0))
        store.append(BERT, generation(last))


def test_two_processes_append_to_one_user(tmp_path: Path) -> None:
    store = SQLiteUserStore.create(tmp_path / "users", 1)
    children = [start(append_own, str(tmp_path / "users"), name, 30) for name in "ab"]
    for _, pipe in children:
        pipe.send("go")
    seen = []
    while not all(pipe.poll() for _, pipe in children):
        seen.append(store.history(ANNA))
    state = store.state(ANNA)
    assert state == UserState(60, 60)
    ids = [some.item_id for some in store.items(ANNA)]
    assert [[i for i in ids if i[0] == name] for name in "ab"] == [[f"{name}{i}" for i in range(30)] for name in "ab"]
    assert all(found is None or (len(found[1]), found[0].revision) == (found[0].items,) * 2 for found in seen)


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
