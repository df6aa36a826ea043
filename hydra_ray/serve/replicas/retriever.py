"""The retriever: users' histories and indexes. Without an encoder it imports no PyTorch."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hydra_ray.core.records import HistoryItem
from hydra_ray.serve.bundle import Bundle
from hydra_ray.serve.config import MIB
from hydra_ray.serve.meters import Meters
from hydra_ray.serve.retrieval import Histories
from hydra_ray.serve.state import USERS
from hydra_ray.serve.types import Found, UserKey, UserState
from hydra_ray.serve.users import UserStore


class Retriever:
    """Histories and indexes. Any replica serves any user; calls of one bucket go to one replica for its cache."""

    def __init__(self, bundle: Bundle, state: Path, cache_mib: int) -> None:
        self._users = UserStore.open(state / USERS, bundle.config.data.buckets)
        encode = None
        if bundle.config.retrieval.method == "dense":
            from hydra_ray.models.vector_cache import CachedEncoder

            encode = CachedEncoder(bundle.config.model, None)
        self._histories = Histories(
            self._users, bundle.config.retrieval, bundle.task, bundle.seed, cache_mib * MIB, encode
        )
        self._meters = Meters("Retriever")
        self._meters.watch_cache("history", self._histories)

    async def ping(self) -> None:
        """Answers."""

    async def retrieve(self, user: UserKey, query: str, n: int) -> Found:
        return await asyncio.to_thread(self._histories.found, user, query, n)

    async def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        return await asyncio.to_thread(self._users.append, user, items)

    async def state(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.state, user)

    async def whole(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        return await asyncio.to_thread(self._users.history, user)

    async def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        return await asyncio.to_thread(self._users.users, tenant, prefix, limit)

    async def queue_fit(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.set_fit, user, "queued")
