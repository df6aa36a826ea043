"""Fits of one user."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hydra_ray.inference.types import Component, UserKey
from hydra_ray.serve.fitter.publish import head_of
from hydra_ray.serve.fitter.user_fitter import FitOutcome, UserFitter
from tests.serve.fit_world import BlackBox, World


def key(world: World, i: int = 0) -> UserKey:
    return UserKey("tenant", world.users[i].user_id)


def fit(world: World, box: BlackBox | None = None, i: int = 0, items: int | None = None) -> FitOutcome:
    fitter = world.fitter(box or BlackBox())
    try:
        return asyncio.run(fitter.fit(key(world, i), world.users[i].items[:items]))
    finally:
        fitter.close()


def heads(world: World, i: int = 0) -> Mapping[Component, Mapping[str, np.ndarray[Any, Any]] | None]:
    return {component: head_of(store, key(world, i).stored) for component, store in world.stores.items() if store}


def cancelled_at(world: World, fitter: UserFitter, moment: threading.Event, then: threading.Event) -> None:
    """Runs a fit, cancels it twice at `moment`, lets the work go on by `then`, and waits for the end of both."""

    async def go() -> None:
        fitting = asyncio.ensure_future(fitter.fit(key(world), world.users[0].items))
        await asyncio.to_thread(moment.wait, 10)
        fitting.cancel()
        await asyncio.sleep(0.02)
        fitting.cancel()
        await asyncio.sleep(0.02)
        then.set()
        with pytest.raises(asyncio.CancelledError):
            await fitting
        # Once the cancelled fit has ended, nothing of it is written any more.
        settled = {component: store.refresh() for component, store in world.stores.items() if store}
        await asyncio.to_thread(fitter.close)
        assert settled == {component: store.refresh() for component, store in world.stores.items() if store}

    asyncio.run(go())
