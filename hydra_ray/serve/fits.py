"""The fitter's work: fits that were asked for, one user at a time each, surviving restarts; and forgetting users."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.serve.fitting import UserFitter
from hydra_ray.serve.types import DeadlineError, FitState, LLMDownError, Module, RefusedError, UserKey, UserState
from hydra_ray.serve.users import HistoryUnreadableError, UserStore
from hydra_ray.store.head_store import HeadStore

LOOK_EVERY_S = 2.0
"""How often queued users are looked for: those of a fitter that died, and those whose kick was lost."""

AGAIN_AFTER_S = 10.0
"""How long a fit waits that the LLM did not answer."""


class Fits:
    """Runs fits in the background. One such object per state folder."""

    def __init__(
        self,
        users: UserStore,
        fitter: UserFitter,
        stores: Mapping[Module, HeadStore],
        at_once: int,
        vacuum_s: float,
        ended: Callable[[str], None],
    ) -> None:
        """at_once: fits at the same time. vacuum_s: see `FitterConfig`. ended: told each fit's outcome."""
        self._users, self._fitter, self._stores = users, fitter, stores
        self._slots = asyncio.Semaphore(at_once)
        self._vacuum_s = vacuum_s
        self._ended = ended
        self._tasks: dict[UserKey, asyncio.Task[None]] = {}
        self._not_before: dict[UserKey, float] = {}
        self._vacuum_at: float | None = None

    async def run(self) -> None:
        """Looks for queued users and vacuums after deletions, until cancelled."""
        while True:
            for user in await asyncio.to_thread(self._users.unfinished):
                if time.monotonic() >= self._not_before.get(user, 0.0):
                    self.kick(user)
            if self._vacuum_at is not None and time.monotonic() >= self._vacuum_at:
                self._vacuum_at = None
                for store in self._stores.values():
                    await asyncio.to_thread(store.vacuum)
            await asyncio.sleep(LOOK_EVERY_S)

    def kick(self, user: UserKey) -> None:
        """Begins the fit of a queued user, unless it runs."""
        if user in self._tasks:
            return
        task = asyncio.ensure_future(self._fit(user))
        self._tasks[user] = task
        task.add_done_callback(lambda _: self._tasks.pop(user, None))

    async def forget(self, user: UserKey) -> bool:
        """Removes heads and history, confirmed by a read; False: nobody of that id."""
        task = self._tasks.get(user)
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return await asyncio.to_thread(self._forget, user)

    def _forget(self, user: UserKey) -> bool:
        return self._users.delete(user, self._remove_heads(user))

    def _remove_heads(self, user: UserKey) -> dict[Module, int]:
        """Returns the versions in which they are gone."""
        versions: dict[Module, int] = {}
        for module, store in self._stores.items():
            store.refresh()
            versions[module] = store.delete([user.stored])
            if store.get([user.stored])[0].any():
                raise UserError(f"the {module} head is still there after its deletion; delete once more")
            self._vacuum_at = time.monotonic() + self._vacuum_s
        return versions

    def heads(self, user: UserKey) -> dict[str, dict[str, list[float]] | None]:
        """A user's heads as lists of numbers; None for the population's."""
        found: dict[str, dict[str, list[float]] | None] = {}
        for module, store in self._stores.items():
            store.refresh()
            own, arrays = store.get([user.stored])
            found[module] = {name: value[0].ravel().tolist() for name, value in arrays.items()} if own[0] else None
        return found

    async def _fit(self, user: UserKey) -> None:
        async with self._slots:
            state = await asyncio.to_thread(self._users.state, user)
            if state is None or state.fit not in {"queued", "running"}:
                return
            await self._set(user, "running")
            items = await asyncio.to_thread(self._users.items, user)
            try:
                fitted = await self._fitter.fit(user, items)
            except (LLMDownError, DeadlineError) as error:
                # It stays queued: the black box comes back.
                self._not_before[user] = time.monotonic() + AGAIN_AFTER_S
                await self._set(user, "queued", message=str(error))
                self._ended("llm_down")
            except (UserError, RefusedError, HistoryUnreadableError) as error:
                await self._set(user, "failed", message=str(error))
                self._ended("failed")
            else:
                told = await self._set(
                    user, "done", message=fitted.message, fitted_revision=state.revision, heads=fitted.versions
                )
                if told is None:
                    # Deleted meanwhile by another process: a head that nobody may have.
                    await asyncio.to_thread(self._remove_heads, user)
                self._ended("done")

    async def _set(self, user: UserKey, fit: FitState, **what: Any) -> UserState | None:
        return await asyncio.to_thread(lambda: self._users.set_fit(user, fit, **what))
