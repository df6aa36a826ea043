"""Fits that were asked for, and users who are forgotten: with real stores, and a scripted fitter."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, LLMDownError, UserKey
from hydra_ray.serve.fitter import fit_queue as fits_module
from hydra_ray.serve.fitter.fit_queue import FitQueue
from hydra_ray.serve.fitter.user_fitter import FitOutcome
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec

USERS = [UserKey("t", f"u{i}") for i in range(12)]
SHAPES = {"out_bias": (2,)}


@dataclass
class Fitter:
    """Publishes the number of records as the head, or raises `error`; `begun` is called first."""

    store: HeadStore
    error: Exception | None = None
    begun: Callable[[UserKey], None] = lambda user: None
    fitted: list[tuple[str, int]] = field(default_factory=list)

    async def fit(self, user: UserKey, items: Sequence[HistoryItem]) -> FitOutcome:
        self.begun(user)
        if self.error:
            raise self.error
        self.fitted.append((user.user_id, len(items)))
        version = self.store.put([user.stored], {"out_bias": np.full((1, 2), len(items), np.float32)})
        return FitOutcome({"reranker": version}, {"reranker": False}, 1, 1, "fitted")


@dataclass
class World:
    folder: Path
    users: SQLiteUserStore
    store: HeadStore
    fitter: Fitter
    outcomes: list[str] = field(default_factory=list)

    def fits(self, vacuum_s: float = 60.0) -> FitQueue:
        stores: dict[Component, HeadStore] = {"reranker": self.store}
        return FitQueue(self.users, self.fitter, stores, 2, vacuum_s, ServiceState(self.folder), self.outcomes.append)  # type: ignore[arg-type]

    def fit_of(self, user: UserKey) -> str:
        state = self.users.state(user)
        return state.fit if state else "nobody"

    def run(self, until: Callable[[], bool], vacuum_s: float = 60.0) -> None:
        """The background loop, until it has come so far."""

        async def course() -> None:
            running = asyncio.ensure_future(self.fits(vacuum_s).run())
            for _ in range(1000):
                if until():
                    break
                assert not running.done(), running
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert until()

        asyncio.run(course())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(fits_module, "LOOK_EVERY_S", 0.02)
    users = SQLiteUserStore.create(tmp_path / "users", 4)
    for user in USERS:
        users.append(user, [HistoryItem("i", "t", "t", "a")])
    store = HeadStore.create(str(tmp_path / "heads"), HeadSpec("linear", 8, 8, SHAPES, "base", 4))
    return World(tmp_path, users, store, Fitter(store))


def test_who_was_queued_before_a_restart_is_fitted(world: World) -> None:
    world.users.set_fit(USERS[0], "queued")
    world.users.set_fit(USERS[1], "running")
    world.run(lambda: {world.fit_of(user) for user in USERS[:2]} == {"done"})
    state = world.users.state(USERS[0])
    assert state is not None
    assert state.fitted_revision == 1
    assert world.store.get([USERS[0].stored])[0].all()
    assert state.heads["reranker"] <= world.store.version
    assert world.fit_of(USERS[2]) == "never"


def test_a_broken_bucket_stops_no_other_users_fit(world: World) -> None:
    for user in USERS:
        world.users.set_fit(user, "queued")
    broken = bucket_of(USERS[0].stored, 4)
    others = [user for user in USERS if bucket_of(user.stored, 4) != broken]
    world.users.close()
    (world.folder / "users" / f"bucket-{broken:06d}.sqlite").write_bytes(b"no database" * 1000)
    world.run(lambda: {world.fit_of(user) for user in others} == {"done"})


def test_a_defect_fails_the_fit_and_is_not_tried_for_ever(world: World) -> None:
    world.fitter.error = ZeroDivisionError("text of the user's")
    begun: list[UserKey] = []
    world.fitter.begun = begun.append
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.outcomes == ["failed"])
    assert begun == [USERS[0]]
    state = world.users.state(USERS[0])
    assert state is not None
    assert (state.fit, state.message) == ("failed", "the fit failed unexpectedly (ZeroDivisionError)")


def test_clients_see_no_paths(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.fitter.error = UserError("/a/path: no space left")
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.outcomes == ["failed"])
    state = world.users.state(USERS[0])
    assert state is not None
    assert (state.fit, state.message) == ("failed", "the fit failed; the service's log says why")
    assert "/a/path: no space left" in caplog.text


def test_a_fit_waits_for_a_black_box_that_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_module, "AGAIN_AFTER_S", 0.1)
    world.fitter.error = LLMDownError("gone")
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.outcomes == ["llm_down"])
    assert world.fit_of(USERS[0]) == "queued"
    world.fitter.error = None
    world.run(lambda: world.fit_of(USERS[0]) == "done")


def test_a_user_found_by_the_look_while_the_notified_task_ends_is_fitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notified task finds the user taken and ends in the very turn of the event loop in which the look goes on."""
    claim, user = world.users.claim_fits, USERS[0]
    taken = threading.Event()
    ended = {"notified": threading.Event(), "look": threading.Event()}

    def both_before_either_ends(worker: str, limit: int, lease_s: float, who: UserKey | None = None) -> list[UserKey]:
        if ended["look"].is_set():
            return claim(worker, limit, lease_s, who)
        if who:
            assert taken.wait(10)
        found = claim(worker, limit, lease_s, who)
        assert found == ([] if who else [user])
        taken.set()
        assert ended["notified" if who else "look"].wait(10)
        return found

    monkeypatch.setattr(world.users, "claim_fits", both_before_either_ends)
    world.users.set_fit(user, "queued")

    async def course() -> None:
        queue = world.fits()
        queue.notify(user)
        running = asyncio.ensure_future(queue.run())
        while not taken.is_set():
            await asyncio.sleep(0.01)
        for event in ended.values():  # the loop stands still meanwhile: it hears of both ends at once, in this order
            event.set()
            time.sleep(0.1)
        while world.fit_of(user) != "done":
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(course(), 20))
    assert world.fitter.fitted == [("u0", 1)]


def test_a_user_taken_over_from_a_task_that_ends_is_kept_while_there_is_no_slot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits_module, "RENEW_EVERY_S", 0.0)
    renewed: list[list[UserKey]] = []
    monkeypatch.setattr(world.users, "renew_fits", lambda worker, users, lease_s: renewed.append(users))
    user = USERS[0]

    async def course() -> None:
        queue = world.fits()
        for _ in range(2):
            await queue._slots.acquire()
        queue._tasks[user] = asyncio.ensure_future(asyncio.sleep(0))
        queue._tasks[user].add_done_callback(lambda _: queue._claimed.discard(user))  # as a task does at its end
        queue._begin(user, claimed=True)
        await asyncio.sleep(0.05)
        await queue._look()
        queue._tasks[user].cancel()

    world.users.set_fit(user, "queued")
    asyncio.run(course())
    assert renewed == [[user]]


def test_fits_that_wait_are_counted(world: World) -> None:
    world.fitter.error = LLMDownError("gone")
    for user in USERS:
        world.users.set_fit(user, "queued")

    async def course() -> int | None:
        queue = world.fits()
        assert queue.unfinished is None
        running = asyncio.ensure_future(queue.run())
        while queue.unfinished is None:
            assert not running.done(), running
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return queue.unfinished

    assert asyncio.run(course()) == len(USERS)


def test_who_asks_again_while_a_fit_runs_gets_another(world: World) -> None:
    def again(user: UserKey) -> None:
        if not world.fitter.fitted:
            world.users.append(user, [HistoryItem("j", "t", "t", "a")])
            world.users.set_fit(user, "queued")

    world.fitter.begun = again
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.fit_of(USERS[0]) == "done")
    assert world.fitter.fitted == [("u0", 1), ("u0", 2)]
    state = world.users.state(USERS[0])
    assert state is not None
    assert state.fitted_revision == state.revision == 2


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
def test_who_asks_while_the_fit_begins_gets_another(world: World, error: Exception | None) -> None:
    read = world.users.history

    def slow(user: UserKey) -> Any:
        found = read(user)
        if not asked:
            asked.append(user)
            world.users.append(user, [HistoryItem("j", "t", "t", "a")])
            world.users.set_fit(user, "queued")
        return found

    asked: list[UserKey] = []
    world.users.history = slow  # type: ignore[method-assign]
    world.fitter.error = error
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.outcomes == [world.fit_of(USERS[0])] * 2)
    state = world.users.state(USERS[0])
    assert state is not None
    assert error or state.fitted_revision == state.revision == 2


def test_every_so_many_fits_old_versions_are_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_module, "VACUUM_AFTER", 3)
    for user in USERS[:3]:
        world.users.set_fit(user, "queued")
    due = world.folder / "vacuum.due"
    world.run(lambda: len(world.outcomes) == 3 and not due.exists(), vacuum_s=0)
    assert len(world.store.versions()) == 1


def test_the_old_versions_of_a_deleted_users_head_go_even_if_the_fitter_dies(world: World) -> None:
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.fit_of(USERS[0]) == "done")

    async def delete_user() -> bool:
        return await world.fits().delete_user(USERS[0])

    seen = ServiceState(world.folder).deletions()
    assert not seen.new()
    assert asyncio.run(delete_user())
    assert seen.new()
    assert not seen.new()
    assert world.fit_of(USERS[0]) == "nobody"
    assert holds(world.folder / "heads", b"u0")
    world.run(lambda: not (world.folder / "vacuum.due").exists(), vacuum_s=0)
    assert not holds(world.folder / "heads", b"u0")
    assert not holds(world.folder / "users", b"u0")


def holds(folder: Path, what: bytes) -> bool:
    """Whether any file below has these bytes."""
    return any(what in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_head_put_for_a_user_whom_another_process_deleted_is_removed(world: World) -> None:
    world.fitter.begun = lambda user: world.users.delete(user) and None
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.outcomes == ["done"])
    assert world.users.state(USERS[0]) is None
    world.store.refresh()
    assert not world.store.get([USERS[0].stored])[0].any()


def test_a_user_who_is_forgotten_in_mid_fit_leaves_nothing(world: World) -> None:
    async def course() -> None:
        begun, go = asyncio.Event(), asyncio.Event()
        fit = world.fitter.fit

        async def slow(user: UserKey, items: Sequence[HistoryItem]) -> FitOutcome:
            begun.set()
            await go.wait()
            return await fit(user, items)

        world.fitter.fit = slow  # type: ignore[method-assign]
        fits = world.fits()
        world.users.set_fit(USERS[0], "queued")
        fits.notify(USERS[0])
        await begun.wait()
        assert await fits.delete_user(USERS[0])
        go.set()
        assert world.users.state(USERS[0]) is None
        assert world.fitter.fitted == []
        assert not await fits.delete_user(USERS[0])

    asyncio.run(course())


def test_a_head_that_another_fitter_puts_in_mid_deletion_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, user = world.users.delete, USERS[0]
    puts: list[int] = []

    def late(key: UserKey, heads: Any) -> bool:
        if not puts:
            puts.append(world.store.put([key.stored], {"out_bias": np.ones((1, 2), np.float32)}))
            world.users.set_fit(key, "done", fitted_revision=1, heads={"reranker": puts[0]})
        return delete(key, heads)

    monkeypatch.setattr(world.users, "delete", late)

    async def course() -> bool:
        return await world.fits().delete_user(user)

    assert asyncio.run(course())
    world.store.refresh()
    assert not world.store.get([user.stored])[0].any()
    world.users.append(user, [HistoryItem("i", "t", "t", "a")])
    state = world.users.state(user)
    assert state is not None
    assert state.heads["reranker"] > puts[0]


def test_two_fitters_share_the_work_and_no_fit_is_done_twice(world: World) -> None:
    for user in USERS:
        world.users.set_fit(user, "queued")

    async def course() -> None:
        running = [asyncio.ensure_future(world.fits().run()) for _ in range(2)]
        while {world.fit_of(user) for user in USERS} != {"done"}:
            assert not any(one.done() for one in running)
            await asyncio.sleep(0.01)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(course(), 60))
    assert sorted(world.fitter.fitted) == sorted((user.user_id, 1) for user in USERS)


def test_a_living_fitter_keeps_its_users(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_module, "RENEW_EVERY_S", 0.0)
    world.users.set_fit(USERS[0], "queued")
    renewed: list[tuple[list[UserKey], float]] = []
    monkeypatch.setattr(world.users, "renew_fits", lambda worker, users, lease_s: renewed.append((users, lease_s)))

    async def course() -> None:
        begun, end = asyncio.Event(), asyncio.Event()
        fit = world.fitter.fit

        async def slow(user: UserKey, items: Sequence[HistoryItem]) -> FitOutcome:
            begun.set()
            await end.wait()
            return await fit(user, items)

        world.fitter.fit = slow  # type: ignore[method-assign]
        alive = asyncio.ensure_future(world.fits().run())
        await begun.wait()
        assert world.users.claim_fits("another", 1, 60.0) == []
        while len(renewed) < 3:
            await asyncio.sleep(0.01)
        end.set()
        while world.fit_of(USERS[0]) != "done":
            await asyncio.sleep(0.01)
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)

    asyncio.run(asyncio.wait_for(course(), 60))
    assert {tuple(users) for users, _ in renewed} == {(USERS[0],)}
    assert {lease_s for _, lease_s in renewed} == {fits_module.LEASE_S}


def test_a_store_that_is_away_ends_no_loop_and_is_logged_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim, failures = world.users.claim_fits, [UserError("the database is away")] * 3

    def failing(*args: Any) -> list[UserKey]:
        if failures:
            raise failures.pop()
        return claim(*args)

    monkeypatch.setattr(world.users, "claim_fits", failing)
    world.users.set_fit(USERS[0], "queued")
    world.run(lambda: world.fit_of(USERS[0]) == "done")
    assert failures == []
    assert caplog.text.count("the database is away") == 1
