"""The history server: users' histories, and what is retrieved from them. Without an encoder it imports no PyTorch."""

import asyncio
from collections.abc import Sequence

from hydra_ray.core.topic_classifier import TopicModels
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import RetrievalResult, UserKey, UserState
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.config import MIB
from hydra_ray.serve.history_retriever import Histories
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.serve.state.folders import FORGET_WITHIN_S
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.utils.network import stay_on_node
from hydra_ray.utils.tracing import span, start_tracing


class HistoryServer:
    """Keeps histories and retrieves from them.

    Any replica serves any user; calls of one bucket go to one replica for its cache.
    """

    def __init__(self, bundle: RunArtifacts, state: ServiceState, cache_mib: int, traces: bool = False) -> None:
        if traces:
            start_tracing()
        stay_on_node()
        self._users = state.open_users(bundle.config.data.buckets)
        self.embeddings = None
        adapter = bundle.config.adapter
        if bundle.config.retrieval.encodes or adapter.encodes:
            from hydra_ray.serve.caches.embedding_cache import EmbeddingCache

            self.embeddings = EmbeddingCache(bundle.config.text_encoder, cache_mib * MIB)
        topics = TopicModels.load(bundle.topics).whole if bundle.topics else None
        self.histories = Histories(
            self._users,
            bundle.config.retrieval,
            bundle.task,
            bundle.seed,
            cache_mib * MIB,
            self.embeddings,
            adapter.history_similarity,
            topics,
        )
        self._meters = Meters("HistoryServer")
        self._meters.watch_cache("history", self.histories)
        self._deletions = state.deletions()
        self._forgetting = asyncio.get_event_loop().create_task(self._forget())

    async def ping(self) -> None:
        """Answers."""

    async def check_health(self) -> None:
        """Asked by Serve."""
        if self._forgetting.done():
            raise RuntimeError("deleted users would stay in the cache: the loop has ended")

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_WITHIN_S)
            if await asyncio.to_thread(self._deletions.new):
                await asyncio.to_thread(self.histories.forget_deleted)
                if self.embeddings:
                    self.embeddings.clear()

    async def retrieve(self, user: UserKey, query: str, n: int, trace: str | None = None) -> RetrievalResult:
        """trace: the caller's span."""
        with span("HistoryServer", "server", trace):
            return await asyncio.to_thread(self.histories.found, user, query, n)

    async def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        return await asyncio.to_thread(self._users.append, user, items)

    async def state(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.state, user)

    async def whole(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        return await asyncio.to_thread(self._users.history, user)

    async def page(self, user: UserKey, first: int, limit: int) -> tuple[UserState, list[HistoryItem]] | None:
        return await asyncio.to_thread(self._users.page, user, first, limit)

    async def remove_item(self, user: UserKey, item_id: str) -> tuple[UserState, bool] | None:
        found = await asyncio.to_thread(self._users.remove_item, user, item_id)
        await asyncio.to_thread(self._deletions.announce)  # also where an attempt before this one removed it
        return found

    async def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        return await asyncio.to_thread(self._users.users, tenant, prefix, limit)

    async def queue_fit(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.set_fit, user, "queued")
