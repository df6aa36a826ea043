"""Background fits: each user once, surviving restarts and deletions."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hydra_ray.core.records import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.serve.fits import Fits
from hydra_ray.serve.fitting import Fitted
from hydra_ray.serve.types import LLMDownError, Module, UserKey
from hydra_ray.serve.users import UserStore
from hydra_ray.store.head_store import HeadStore
from tests.serve.stages import ANN, ITEMS
from tests.serve.world import BUCKETS, heads, make_bundle, make_stores

BEN = UserKey("default", "ben")


class Fitter:
    """Puts a head into both stores; waits for `go`, raises `error`."""

    def __init__(self, stores: dict[Module, HeadStore]) -> None:
        self.stores, self.error, self.asked = stores, None, []  # type: ignore[var-annotated]
        self.go = asyncio.Event()
        self.go.set()
        self.most = self.now = 0

    async def fit(self, user: UserKey, items: Sequence[HistoryItem]) -> Fitted:
        self.asked.append((user, len(items)))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            if self.error:
                raise self.error
            versions = {m: store.put([user.stored], heads(store, 1.0)) for m, store in self.stores.items()}
            return Fitted(versions, {}, 1, 1, "fitted")
        finally:
            self.now -= 1


class World:
    def __init__(self, folder: Path) -> None:
        self.users = UserStore.create(folder / "users", BUCKETS)
        self.stores = make_stores(make_bundle(folder), folder)
        self.fitter = Fitter(self.stores)
        self.outcomes: list[str] = []
        self.fits = Fits(self.users, self.fitter, self.stores, 1, 0.0, self.outcomes.append)  # type: ignore[arg-type]

    def queue(self, user: UserKey) -> None:
        self.users.append(user, ITEMS)
        self.users.set_fit(user, "queued")

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(500):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came to that")

    def fit_of(self, user: UserKey) -> str:
        state = self.users.state(user)
        return state.fit if state else "gone"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_kick_fits_and_the_state_names_the_versions_to_see(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.queue(ANN)
        world.fits.kick(ANN)
        world.fits.kick(ANN)
        await world.until(lambda: world.outcomes == ["done"])
        state = world.users.state(ANN)
        assert state is not None
        assert state.heads == {m: store.version for m, store in world.stores.items()}
        assert state.fitted_revision == state.revision
        assert state.fit == "done"
        assert world.fitter.asked == [(ANN, len(ITEMS))]

    asyncio.run(run())


def test_queued_users_are_found_after_a_restart_one_at_a_time(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.queue(ANN)
        world.queue(BEN)
        world.users.set_fit(BEN, "running")  # its fitter died
        loop = asyncio.ensure_future(world.fits.run())
        await world.until(lambda: world.fit_of(ANN) == world.fit_of(BEN) == "done")
        loop.cancel()
        assert world.fitter.most == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "fit", "outcome"), [(LLMDownError("gone"), "queued", "llm_down"), (UserError("no"), "failed", "failed")]
)
def test_what_may_pass_stays_queued_and_what_will_not_has_failed(
    tmp_path: Path, error: Exception, fit: str, outcome: str
) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.fitter.error = error  # type: ignore[assignment]
        world.queue(ANN)
        world.fits.kick(ANN)
        await world.until(lambda: world.outcomes == [outcome])
        state = world.users.state(ANN)
        assert state is not None
        assert (state.fit, state.message) == (fit, str(error))

    asyncio.run(run())


def test_a_user_who_is_forgotten_in_mid_fit_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.queue(ANN)
        world.fitter.go.clear()
        world.fits.kick(ANN)
        await world.until(lambda: bool(world.fitter.asked))
        assert await world.fits.forget(ANN)
        world.fitter.go.set()
        assert world.users.state(ANN) is None
        assert all(not store.get([ANN.stored])[0].any() for store in world.stores.values())
        assert not await world.fits.forget(ANN)

    asyncio.run(run())


def test_a_head_put_for_a_user_whom_another_process_deleted_is_removed(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.queue(ANN)
        world.fitter.go.clear()
        world.fits.kick(ANN)
        await world.until(lambda: bool(world.fitter.asked))
        world.users.delete(ANN)
        world.fitter.go.set()
        await world.until(lambda: world.outcomes == ["done"])
        assert all(not store.get([ANN.stored])[0].any() for store in world.stores.values())

    asyncio.run(run())
