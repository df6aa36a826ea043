"""The contract of a store of users, kept by SQLite files and by PostgreSQL."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import FitState, UserKey, UserState
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import Floors, UserRecord, UserStore, highest
from tests.serve.made_up import (
    ANNA,
    BERT,
    append_own,
    generation,
    item,
    of_generation,
    write_for_ever,
)
from tests.store.children import start


def test_append_is_seen_by_every_other_store(store: UserStore, state: ServiceState) -> None:
    other = state.open_users()
    assert (other.state(ANNA), other.history(ANNA), other.items(ANNA)) == (None, None, [])
    assert store.append(ANNA, [item(0), item(1)]) == UserState(2, 1)
    assert other.history(ANNA) == (UserState(2, 1), [item(0), item(1)])
    assert other.append(ANNA, [item(2)]) == UserState(3, 2)
    assert store.items(ANNA) == [item(0), item(1), item(2)]
    assert store.state(BERT) is None


def test_a_known_record_is_replaced_in_its_place(store: UserStore) -> None:
    store.append(ANNA, [item(0), item(1)])
    new = item(0, "other text")
    assert store.append(ANNA, [new, item(2)]) == UserState(3, 2)
    assert store.items(ANNA) == [new, item(1), item(2)]
    assert store.append(ANNA, [new, item(1)]) == UserState(3, 2)  # nothing new
    assert store.append(ANNA, [item(1, "x"), item(1)]) == UserState(3, 2)  # the last one counts
    assert store.append(ANNA, []) == UserState(3, 2)


def test_one_record_is_removed_and_the_others_keep_their_order(store: UserStore, state: ServiceState) -> None:
    store.append(ANNA, [item(i) for i in range(5)])
    store.append(BERT, [item(i) for i in range(3)])
    assert store.remove_item(ANNA, item(1).item_id) == (UserState(4, 2), True)
    assert store.remove_item(ANNA, item(4).item_id) == (UserState(3, 3), True)
    assert store.remove_item(ANNA, item(4).item_id) == (UserState(3, 3), False)
    kept = [item(0), item(2), item(3)]
    assert state.open_users().history(ANNA) == (UserState(3, 3), kept)
    assert store.append(ANNA, [item(7)]) == UserState(4, 4)
    assert store.items(ANNA) == [*kept, item(7)]
    assert store.items(BERT) == [item(i) for i in range(3)]
    assert store.remove_item(UserKey("default", "nobody"), "x") is None
    for left in (*kept, item(7)):
        store.remove_item(ANNA, left.item_id)
    assert store.history(ANNA) == (UserState(0, 8), [])


def test_a_page_is_a_part_of_the_history(store: UserStore) -> None:
    store.append(ANNA, [item(i) for i in range(5)])
    store.append(BERT, [item(9)])
    assert store.page(ANNA, 1, 2) == (UserState(5, 1), [item(1), item(2)])
    assert store.page(ANNA, 4, 9) == (UserState(5, 1), [item(4)])
    assert store.page(ANNA, 5, 9) == (UserState(5, 1), [])
    assert store.page(ANNA, 0, 0) == (UserState(5, 1), [])
    assert store.page(UserKey("default", "nobody"), 0, 9) is None


def test_a_user_without_records(store: UserStore) -> None:
    assert store.append(ANNA, []) == UserState(0, 1)
    assert store.history(ANNA) == (UserState(0, 1), [])


def unfinished(store: UserStore) -> list[UserKey]:
    """Whose fits a worker would get now; it has them for no time."""
    found = store.claim_fits("looks", 99, 0.0)
    return sorted(found, key=lambda user: user.stored)


def test_fits(store: UserStore) -> None:
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
def test_a_fit_that_ends_leaves_the_one_queued_that_was_asked_for_meanwhile(store: UserStore, end: FitState) -> None:
    store.append(ANNA, [item(0)])
    for fit in ("queued", "running", "queued"):
        store.set_fit(ANNA, fit)
    store.set_fit(ANNA, end, message="said", fitted_revision=1, heads={"reranker": 7})
    assert store.state(ANNA) == UserState(1, 1, {"reranker": 7}, "queued", 1, "said")


def test_a_new_user_with_a_deleted_users_id_begins_above_all_the_old_one_had(store: UserStore) -> None:
    store.append(ANNA, [item(0)])
    store.append(ANNA, [item(1)])
    store.set_fit(ANNA, "done", fitted_revision=2, heads={"adapter": 9})
    assert store.delete(ANNA, {"reranker": 5, "adapter": 8})
    assert (store.state(ANNA), store.items(ANNA)) == (None, [])
    assert not store.delete(ANNA, {"reranker": 6})
    assert store.append(ANNA, [item(2)]) == UserState(1, 3, {"reranker": 6, "adapter": 9})
    assert store.items(ANNA) == [item(2)]


def test_a_fit_of_a_deleted_users_records_does_not_reach_their_successor(store: UserStore) -> None:
    read = store.append(ANNA, [item(0)]).revision
    store.delete(ANNA)
    now = store.append(ANNA, [item(0)])
    assert store.set_fit(ANNA, "done", fitted_revision=read, heads={"reranker": 5}) is None
    assert store.state(ANNA) == now


def test_listing(store: UserStore) -> None:
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


def test_import_adds_only_the_unknown_and_names_heads(store: UserStore) -> None:
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


def test_half_a_character(store: UserStore) -> None:
    with pytest.raises(UserError, match="'item0' holds half a character"):
        store.append(ANNA, [item(0, "\ud800")])
    assert store.state(ANNA) is None


SLOW = ["sqlite", pytest.param("postgres", marks=pytest.mark.cluster)]
"""Back ends, of tests that start processes or make many stores."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ITEMS = st.lists(st.builds(HistoryItem, st.sampled_from("abcdef"), TEXT, TEXT, TEXT, TEXT), max_size=5)
STEPS = st.lists(st.tuples(st.sampled_from(["ann", "ann'", "é\0", "%"]), st.none() | ITEMS), max_size=15)


@pytest.mark.parametrize("new_state", SLOW, indirect=True)
@settings(max_examples=20)
@given(STEPS)
def test_any_sequence_of_appends_and_deletions(
    new_state: Callable[[], ServiceState], steps: list[tuple[str, list[HistoryItem] | None]]
) -> None:
    """Against a dictionary; a revision never comes back, whatever is deleted."""
    state = new_state()
    stores = [state.create_users(2, "service"), state.open_users()]
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


@pytest.mark.parametrize("new_state", SLOW, indirect=True)
def test_killed_writer(state: ServiceState) -> None:
    """SIGKILL at a random moment: what was said to be done is there, whole, and the next writer goes on."""
    state.create_users(1, "service").append(ANNA, generation(0))
    rng, last = random.Random(1), 0
    for _ in range(8):
        process, pipe = start(write_for_ever, state, last + 1)
        events = [pipe.recv() for _ in range(rng.randrange(1, 8))]
        time.sleep(rng.uniform(0, 0.003))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                events.append(pipe.recv())
        store = state.open_users()
        history = store.history(ANNA)
        assert history is not None
        begun, done = (max((g for word, g in events if word == which), default=last) for which in ("begun", "done"))
        last = of_generation(history[1])
        assert done <= last <= begun
        assert all(of_generation(store.items(user)) <= begun for user in store.keys(0))
        store.append(BERT, generation(last))


@pytest.mark.parametrize("new_state", SLOW, indirect=True)
def test_two_processes_append_to_one_user(state: ServiceState) -> None:
    store = state.create_users(1, "service")
    children = [start(append_own, state, name, 30) for name in "ab"]
    for _, pipe in children:
        pipe.send("go")
    seen = []
    while not all(pipe.poll() for _, pipe in children):
        seen.append(store.history(ANNA))
    assert store.state(ANNA) == UserState(60, 60)
    ids = [some.item_id for some in store.items(ANNA)]
    assert [[i for i in ids if i[0] == name] for name in "ab"] == [[f"{name}{i}" for i in range(30)] for name in "ab"]
    assert all(found is None or (len(found[1]), found[0].revision) == (found[0].items,) * 2 for found in seen)


KEYS = [UserKey("one", f"user {i}") for i in range(6)]


@pytest.fixture
def waiting(store: UserStore) -> UserStore:
    """A store in which all of KEYS wait for a fit, and BERT does not."""
    store.append(BERT, [item(0)])
    for user in KEYS:
        store.append(user, [item(0)])
        store.set_fit(user, "queued")
    return store


def test_a_users_fit_is_one_workers_at_a_time(waiting: UserStore, state: ServiceState) -> None:
    other = state.open_users()
    first = waiting.claim_fits("first", 4, 60.0)
    assert len(first) == 4
    assert {found.fit for user in first if (found := waiting.state(user))} == {"running"}
    second = other.claim_fits("second", 4, 60.0)
    assert sorted(user.user_id for user in first + second) == [user.user_id for user in KEYS]
    assert other.claim_fits("second", 4, 60.0) == []
    assert other.claim_fits("second", 1, 60.0, first[0]) == []
    assert other.claim_fits("second", 1, 60.0, BERT) == []
    assert waiting.unfinished_fits() == other.unfinished_fits() == len(KEYS)  # queued or running
    waiting.set_fit(first[0], "done")
    waiting.release_fit("first", first[0])
    assert other.claim_fits("second", 4, 60.0) == []
    assert waiting.unfinished_fits() == other.unfinished_fits() == len(KEYS) - 1


def test_who_is_queued_again_waits_for_the_workers_release(waiting: UserStore) -> None:
    user = KEYS[2]
    assert waiting.claim_fits("first", 1, 60.0, user) == [user]
    waiting.set_fit(user, "queued")
    assert waiting.claim_fits("second", 1, 60.0, user) == []
    waiting.set_fit(user, "done")
    waiting.release_fit("another", user)
    assert waiting.claim_fits("second", 1, 60.0, user) == []
    waiting.release_fit("first", user)
    assert waiting.claim_fits("second", 1, 60.0, user) == [user]
    waiting.set_fit(user, "queued")
    waiting.release_fit("second", user, wait_s=60.0)
    assert waiting.claim_fits("second", 1, 60.0, user) == []


def test_a_dead_workers_fits_are_taken_up_and_a_living_ones_are_not(waiting: UserStore) -> None:
    dead, alive = waiting.claim_fits("dead", 3, 0.0), waiting.claim_fits("alive", 3, 60.0, KEYS[5])
    waiting.renew_fits("alive", [*alive, KEYS[0]], 60.0)
    waiting.renew_fits("nobody", [KEYS[1]], 60.0)
    found = waiting.claim_fits("next", 9, 60.0)
    assert sorted(user.user_id for user in found) == [user.user_id for user in KEYS[:5]]
    assert len(dead) == 3


def test_who_is_deleted_and_comes_back_waits_for_nobody(waiting: UserStore) -> None:
    assert waiting.claim_fits("first", 1, 60.0, KEYS[0]) == [KEYS[0]]
    waiting.delete(KEYS[0])
    waiting.append(KEYS[0], [item(1)])
    waiting.set_fit(KEYS[0], "queued")
    assert waiting.claim_fits("second", 1, 60.0, KEYS[0]) == [KEYS[0]]


def test_texts_of_all_kinds_come_back_as_they_were(store: UserStore) -> None:
    odd = [
        "",
        "\0",
        "\\",
        "\\0",
        "\\\0",
        "a\\b\0c",
        "'; DROP TABLE users; --",
        "\u2028é\U0001f600",
        "%s %(x)s",
        "\t\n\r",
    ]
    items = [HistoryItem(f"{i}{text}", text, text + "x", text, text) for i, text in enumerate(odd)]
    for text in odd:
        assert store.append(UserKey("one", text), items).items == len(odd)
        assert store.items(UserKey("one", text)) == items
    store.set_fit(UserKey("one", odd[5]), "failed", message=odd[5])
    found = store.state(UserKey("one", odd[5]))
    assert found is not None
    assert found.message == odd[5]
    assert store.users("one", "a\\b\0", 9) == [(UserKey("one", odd[5]), found)]
    assert store.remove_item(UserKey("one", ""), items[5].item_id) == (UserState(len(odd) - 1, 2), True)


def test_a_tenant_never_sees_anothers_user_of_the_same_id(store: UserStore) -> None:
    mine, theirs = UserKey("mine", "u"), UserKey("theirs", "u")
    store.append(theirs, [item(0, "theirs"), item(1, "theirs")])
    kept = store.history(theirs)
    assert (store.state(mine), store.history(mine), store.page(mine, 0, 9)) == (None, None, None)
    assert (store.users("mine", "", 9), store.set_fit(mine, "queued"), store.delete(mine)) == ([], None, False)
    assert store.remove_item(mine, item(0).item_id) is None
    store.append(mine, [item(0, "mine")])
    store.remove_item(mine, item(0).item_id)
    store.set_fit(mine, "failed", message="mine")
    store.delete(mine)
    assert store.history(theirs) == kept


def test_records_go_out_and_in_as_they_are(store: UserStore, new_state: Callable[[], ServiceState]) -> None:
    user = next(key for key in KEYS if bucket_of(key.stored, 4) == bucket_of(ANNA.stored, 4))
    bucket = bucket_of(ANNA.stored, 4)
    store.append(user, [item(9)])
    store.delete(user, {"reranker": 7})
    store.append(ANNA, [item(0), item(1), item(2)])
    store.remove_item(ANNA, item(1).item_id)
    store.set_fit(ANNA, "queued", message="why", fitted_revision=3, heads={"adapter": 4})
    (record,) = store.records([ANNA, user])
    state = UserState(2, 3, {"reranker": 7, "adapter": 4}, "queued", 3, "why")
    assert record == UserRecord(ANNA, 2, state, [item(0), item(2)])
    assert store.states(bucket) == {ANNA: state}
    assert store.floors(bucket) == Floors(1, {"reranker": 7})

    target = new_state().create_users(4, "service")
    target.append(ANNA, [item(5)])
    target.append(user, [item(5)])
    target.set_floors(bucket, store.floors(bucket))
    for _ in range(2):
        target.put_records(bucket, [record])
        assert list(target.records([ANNA])) == [record]
    target.drop_records(bucket, [user])
    assert target.states(bucket) == {ANNA: state}
    assert target.floors(bucket) == Floors(1, {"reranker": 7})
    assert target.append(ANNA, [item(3), item(2, "new")]).items == 3
    assert target.items(ANNA) == [item(0), item(2, "new"), item(3)]
    assert target.claim_fits("worker", 9, 60.0) == [ANNA]
    target.close()


def test_the_highest_version_of_each_component() -> None:
    assert highest({"reranker": 4}, {"reranker": 2, "adapter": 1}, {}) == {"reranker": 4, "adapter": 1}
