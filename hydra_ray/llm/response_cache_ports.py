"""How a client reaches its run's ledger: in this process, or through the actor that shares it over a cluster."""

from collections.abc import Sequence
from typing import Any, Protocol

from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.types import CachedResponse


class ResponseCachePort(Protocol):
    """How a client reaches the ledger: in this process, or through the actor. See `ResponseCache` for the meaning."""

    async def get_many(self, keys: Sequence[str]) -> list[CachedResponse | None]: ...

    async def exchange(
        self, settled: Sequence[CallOutcome], wanted: Sequence[float], done: int, tokens: Sequence[float]
    ) -> list[int]: ...

    async def pause_s(self, tokens: float) -> float: ...

    async def budget_message(self) -> str: ...


class LocalPort:
    """A ledger in this process."""

    def __init__(self, ledger: ResponseCache) -> None:
        self._ledger = ledger

    async def get_many(self, keys: Sequence[str]) -> list[CachedResponse | None]:
        return self._ledger.get_many(keys)

    async def exchange(
        self, settled: Sequence[CallOutcome], wanted: Sequence[float], done: int, tokens: Sequence[float]
    ) -> list[int]:
        return self._ledger.exchange(settled, wanted, done, tokens)

    async def pause_s(self, tokens: float) -> float:
        return self._ledger.pause_s(tokens)

    async def budget_message(self) -> str:
        return self._ledger.budget_message()


class ActorPort:
    """The ledger actor of a run, from any node. handle: what `response_cache_actor.response_cache_actor` returned."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def get_many(self, keys: Sequence[str]) -> list[CachedResponse | None]:
        found: list[CachedResponse | None] = await self._handle.get_many.remote(list(keys))
        return found

    async def exchange(
        self, settled: Sequence[CallOutcome], wanted: Sequence[float], done: int, tokens: Sequence[float]
    ) -> list[int]:
        granted: list[int] = await self._handle.exchange.remote(list(settled), list(wanted), done, list(tokens))
        return granted

    async def pause_s(self, tokens: float) -> float:
        pause: float = await self._handle.pause_s.remote(tokens)
        return pause

    async def budget_message(self) -> str:
        message: str = await self._handle.budget_message.remote()
        return message
