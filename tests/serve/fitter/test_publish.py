"""Heads are published for both components, or for none."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.fitter.user_fitter import UserFitter
from hydra_ray.store.heads.head_store import HeadStore
from tests.serve.fit_world import BlackBox, World
from tests.serve.fitter.fitting import cancelled_at, fit, heads, key


class SlowStore:
    """A head store whose `put` says that it has begun, and ends when it may."""

    def __init__(self, store: HeadStore) -> None:
        self.store, self.began, self.may_end = store, threading.Event(), threading.Event()

    def put(self, *args: Any) -> int:
        self.began.set()
        assert self.may_end.wait(10)
        return self.store.put(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_cancelled_while_publishing_both_heads_are_there_when_it_ends(tmp_path: Path) -> None:
    world = World.make(tmp_path, "bayesian_linear", users=1)
    reranker = world.stores["reranker"]
    assert reranker is not None
    slow = SlowStore(reranker)
    fitter = UserFitter(world.bundle, BlackBox(), {**world.stores, "reranker": slow})  # type: ignore[dict-item]
    cancelled_at(world, fitter, slow.began, slow.may_end)
    assert all(heads(world).values())


class FullStore(SlowStore):
    """A head store whose disk is full."""

    def put(self, *args: Any) -> int:
        raise UserError("no space left")


@pytest.mark.parametrize("fitted_before", [True, False])
def test_a_store_that_cannot_be_written_takes_the_other_components_head_back(
    tmp_path: Path, fitted_before: bool
) -> None:
    world = World.make(tmp_path, "bayesian_linear", users=1)
    if fitted_before:
        fit(world, items=6)
    before = heads(world)
    adapter = world.stores["adapter"]
    assert adapter is not None
    fitter = UserFitter(world.bundle, BlackBox(), {**world.stores, "adapter": FullStore(adapter)})  # type: ignore[dict-item]
    with pytest.raises(UserError, match="no space left"):
        asyncio.run(fitter.fit(key(world), world.users[0].items))
    now, old = heads(world)["reranker"], before["reranker"]
    assert (now is None) == (old is None) == (not fitted_before)
    if now is not None and old is not None:
        assert all(np.array_equal(now[name], old[name]) for name in now)
