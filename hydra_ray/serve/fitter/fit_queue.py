"""The fitter's work: fits that were asked for, one user at a time each, surviving restarts; and forgetting users."""

import asyncio
import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, DeadlineError, FitState, LLMDownError, RefusedError, UserKey, UserState
from hydra_ray.serve.fitter.user_fitter import UserFitter
from hydra_ray.serve.state.folders import VACUUM_DUE
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from hydra_ray.store.heads.head_store import HeadStore

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""How often queued users are looked for: those of a fitter that died, and those whose notification was lost."""

VACUUM_AFTER = 256
"""Fits until old versions are removed: each leaves a version and a file of one row in every head store."""

LEASE_S, RENEW_EVERY_S = 15.0, 5.0
"""How long a fitter has a user before others may take the fit up; it renews as long as it lives."""

COUNT_EVERY_S = 10.0
"""How often unfinished fits are counted."""

AGAIN_AFTER_S = 10.0
"""How long a fit waits that the LLM did not answer, or whose user cannot be read; and a vacuum that failed."""


class FitQueue:
    """Runs fits in the background. Several processes may work on one state: a user's fit is one worker's at a time.

    unfinished: users whose fit was queued or running when they were last counted, in the whole state; None: never yet.
    """

    def __init__(
        self,
        users: UserStore,
        fitter: UserFitter,
        stores: Mapping[Component, HeadStore],
        at_once: int,
        vacuum_s: float,
        state: ServiceState,
        ended: Callable[[str], None],
    ) -> None:
        """at_once: fits at the same time. vacuum_s: see `FitterConfig`. ended: called with each fit's
        outcome."""
        self._users, self._fitter, self._stores = users, fitter, stores
        self._worker = uuid.uuid4().hex
        self._at_once, self._slots = at_once, asyncio.Semaphore(at_once)
        self._vacuum_s, self._due, self._deletions = vacuum_s, state.folder / VACUUM_DUE, state.deletions()
        self._ended = ended
        self._tasks: dict[UserKey, asyncio.Task[None]] = {}
        self._claimed: set[UserKey] = set()
        self._renewed_at = time.monotonic()
        self.unfinished: int | None = None
        self._counted_at = float("-inf")
        self._reachable = True  # the store, when last looked at
        self._vacuum_at = time.monotonic() + vacuum_s if self._due.exists() else None
        self._published = 0  # since old versions were last removed

    async def run(self) -> None:
        """Looks for queued users and vacuums after deletions and every VACUUM_AFTER fits, until cancelled."""
        await asyncio.gather(self._look_for_ever(), self._vacuum_for_ever())

    async def _look_for_ever(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _vacuum_for_ever(self) -> None:
        while True:
            if self._vacuum_at is not None and time.monotonic() >= self._vacuum_at:
                self._vacuum_at = None
                await asyncio.to_thread(self._vacuum)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Keeps the users it has, and takes as many as it has room for. A store that is away is asked again."""
        room = self._at_once - len(self._tasks)
        try:
            if self._claimed and time.monotonic() - self._renewed_at >= RENEW_EVERY_S:
                self._renewed_at = time.monotonic()
                await asyncio.to_thread(self._users.renew_fits, self._worker, list(self._claimed), LEASE_S)
            if room > 0:
                for user in await asyncio.to_thread(self._users.claim_fits, self._worker, room, LEASE_S):
                    self._begin(user, claimed=True)
            if time.monotonic() - self._counted_at >= COUNT_EVERY_S:
                self._counted_at = time.monotonic()
                self.unfinished = await asyncio.to_thread(self._users.unfinished_fits)
            self._reachable = True
        except UserError as error:
            if self._reachable:
                logger.error("%s", error)
            self._reachable = False

    def _vacuum(self) -> None:
        try:
            self._published, due = 0, self._due_since()
            for store in self._stores.values():
                store.vacuum()
        except UserError as error:
            logger.error("%s", error)
            self._vacuum_at = time.monotonic() + AGAIN_AFTER_S
            return
        if self._vacuum_at is None and self._due_since() == due:  # no other fitter has deleted meanwhile
            self._due.unlink(missing_ok=True)

    def _due_since(self) -> int | None:
        with contextlib.suppress(OSError):
            return self._due.stat().st_mtime_ns
        return None

    def notify(self, user: UserKey) -> None:
        """Begins the fit of a queued user, unless it runs, here or elsewhere."""
        if user not in self._tasks:
            self._begin(user, claimed=False)

    def _begin(self, user: UserKey, claimed: bool) -> None:
        """A user who is claimed already may still have a task, which does not know of it and is about to end."""
        task = asyncio.ensure_future(self._watched(user, claimed, self._tasks.get(user)))
        self._tasks[user] = task
        task.add_done_callback(functools.partial(self._ended_task, user))

    def _ended_task(self, user: UserKey, task: asyncio.Task[None]) -> None:
        if self._tasks.get(user) is task:
            del self._tasks[user]

    async def delete_user(self, user: UserKey) -> bool:
        """Removes heads and history, confirmed by a read; False: no such user."""
        task = self._tasks.get(user)
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return await asyncio.to_thread(self._forget, user)

    def _forget(self, user: UserKey) -> bool:
        found = self._users.delete(user, self._remove_heads(user))
        if self._has_head(user):  # another fitter has put it in between; one that comes later finds no user
            self._users.delete(user, self._remove_heads(user))
        self._deletions.announce()
        return found

    def _has_head(self, user: UserKey) -> bool:
        for store in self._stores.values():
            store.refresh()
        return any(store.get([user.stored])[0].any() for store in self._stores.values())

    def _remove_heads(self, user: UserKey) -> dict[Component, int]:
        """Returns the versions in which they are gone."""
        versions: dict[Component, int] = {}
        if self._stores:
            self._due.touch()  # before anything is old, lest this process dies
        for component, store in self._stores.items():
            store.refresh()
            versions[component] = store.delete([user.stored])
            if store.get([user.stored])[0].any():
                raise UserError(f"the {component} head is still there after its deletion; delete once more")
        self._vacuum_soon()
        return versions

    def _vacuum_soon(self) -> None:
        """Has what is old by now removed by a vacuum that begins `vacuum_s` from now, also if one is under way."""
        if self._stores:
            self._due.touch()
            self._vacuum_at = self._vacuum_at or time.monotonic() + self._vacuum_s

    def heads(self, user: UserKey) -> dict[str, dict[str, list[float]] | None]:
        """A user's heads as lists of numbers; None for the shared head's."""
        found: dict[str, dict[str, list[float]] | None] = {}
        for component, store in self._stores.items():
            store.refresh()
            own, arrays = store.get([user.stored])
            found[component] = {name: value[0].ravel().tolist() for name, value in arrays.items()} if own[0] else None
        return found

    async def _watched(self, user: UserKey, claimed: bool, before: asyncio.Task[None] | None) -> None:
        """The fit, with whatever goes wrong around it: a user who cannot be read or written waits.

        claimed: whether this worker has the user already. before: the user's task so far, which ends first.
        """
        try:
            if before:
                with contextlib.suppress(Exception):
                    await before
            if claimed:
                # Not before: the earlier task's end takes it back. Not later: a wait for a slot may outlast a lease.
                self._claimed.add(user)
            async with self._slots:
                if not claimed and not await asyncio.to_thread(self._users.claim_fits, self._worker, 1, LEASE_S, user):
                    return
                self._claimed.add(user)
                wait_s = AGAIN_AFTER_S
                try:
                    wait_s = await self._fit(user)
                except UserError as error:
                    logger.error("%s", error)
                await asyncio.to_thread(self._users.release_fit, self._worker, user, wait_s)
        except UserError as error:
            logger.error("%s", error)  # the lease ends by itself
        finally:
            self._claimed.discard(user)

    async def _fit(self, user: UserKey) -> float:
        """Returns how many seconds the user is to wait for another fit."""
        # Read after the claim: later requests queue another fit, earlier ones are in what is read.
        history = await asyncio.to_thread(self._users.history, user)
        if history is None:
            return 0.0
        state, items = history
        try:
            fitted = await self._fitter.fit(user, items)
        except (LLMDownError, DeadlineError) as error:
            # It stays queued: the black box comes back.
            await self._set(user, "queued", message=str(error))
            self._ended("llm_down")
            return AGAIN_AFTER_S
        except RefusedError as error:
            await self._set(user, "failed", message=str(error))
            self._ended("failed")
        except UserError as error:
            logger.error("a fit failed: %s", error)  # it may name files, which are not for clients
            await self._set(user, "failed", message="the fit failed; the service's log says why")
            self._ended("failed")
        except Exception as error:
            # A defect of ours; fitting the same again and again would not mend it.
            logger.error("a fit failed: %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
            await self._set(user, "failed", message=f"the fit failed unexpectedly ({type(error).__name__})")
            self._ended("failed")
        else:
            # Asked for once more while it ran, it stays queued and goes on with the items that came since.
            new_state = await self._set(
                user, "done", message=fitted.message, fitted_revision=state.revision, heads=fitted.versions
            )
            if new_state is None:
                # Deleted meanwhile by another process: the head must not stay.
                await asyncio.to_thread(self._remove_heads, user)
            self._published += 1
            if self._published >= VACUUM_AFTER:
                await asyncio.to_thread(self._vacuum_soon)
            self._ended("done")
        return 0.0

    async def _set(self, user: UserKey, fit: FitState, **what: Any) -> UserState | None:
        return await asyncio.to_thread(lambda: self._users.set_fit(user, fit, **what))
