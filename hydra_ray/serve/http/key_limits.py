"""How much a key may be used: requests and tokens in each minute, and what has been counted.

Minutes are the clock's. Tokens are known after an answer, so the one that goes over the limit is given and the next is
refused. Without a store, limits are this process's own; with one they hold for all gateways, within SYNC_S.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.keys import Key
from hydra_ray.serve.state.usage import Slot, UsageStore, UsageUnavailableError, Used

logger = logging.getLogger(__name__)

SYNC_S = 2.0
MINUTE_S = 60


class KeyLimits:
    """Belongs to one event loop. clock: seconds since 1970."""

    def __init__(self, store: UsageStore | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._minute = 0
        self._mine: dict[str, Used] = {}  # in this minute, by key, what the store does not hold yet
        self._all: dict[str, Used] = {}  # in this minute, by key, what the store holds
        self._pending: dict[Slot, Used] = {}
        self._syncing: asyncio.Task[None] | None = None

    def admit(self, key: Key) -> dict[str, str]:
        """Counts a request and returns the headers that say what is left. Raises ApiError (429)."""
        self._turn()
        used = self._used(key)
        for what, most, have in (("requests", key.requests, used.requests), ("tokens", key.tokens, used.tokens)):
            if most is not None and have >= most:
                self._count(key, Used(refused=1))
                raise ApiError(
                    429,
                    f"this key's limit of {most} {what} a minute is reached",
                    code="rate_limit_exceeded",
                    headers={"Retry-After": str(self._left_s()), **self._headers(key, used)},
                )
        self._count(key, Used(requests=1))
        return self._headers(key, used + Used(requests=1))

    def spent(self, key: Key, tokens: int) -> None:
        """Counts an answer's tokens."""
        if tokens > 0:
            self._turn()
            self._count(key, Used(tokens=tokens))

    def days(self, tenant: str, since: str) -> list[tuple[Slot, Used]]:
        """The tenant's use, by day and key; without a store, of this process."""
        if self._store is None:
            return [(slot, used) for slot, used in self._pending.items() if slot.tenant == tenant and slot.day >= since]
        return self._store.days(tenant, since)

    def _turn(self) -> None:
        """A new minute begins at nought."""
        minute = int(self._clock() // MINUTE_S)
        if minute != self._minute:
            self._minute, self._mine, self._all = minute, {}, {}

    def _used(self, key: Key) -> Used:
        return self._all.get(key.id, Used()) + self._mine.get(key.id, Used())

    def _count(self, key: Key, more: Used) -> None:
        day = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d")
        minute = self._minute if self._store is not None else 0
        slot = Slot(key.tenant, key.id, key.name, day, minute)
        self._pending[slot] = self._pending.get(slot, Used()) + more
        self._mine[key.id] = self._mine.get(key.id, Used()) + more
        if self._store is not None and (self._syncing is None or self._syncing.done()):
            self._syncing = asyncio.ensure_future(self._share(self._store))

    async def _share(self, store: UsageStore) -> None:
        """Writes what is counted, every SYNC_S as long as there is something."""
        while self._pending:
            await asyncio.sleep(SYNC_S)
            pending, self._pending = self._pending, {}
            mine, minute = dict(self._mine), self._minute
            try:
                found = await asyncio.to_thread(store.add, pending, minute)
            except UsageUnavailableError as error:
                logger.warning("usage is not written now: %s", error)
                for slot, used in pending.items():
                    self._pending[slot] = self._pending.get(slot, Used()) + used
                continue
            if minute == self._minute:
                self._all = found
                self._mine = {key: used - mine.get(key, Used()) for key, used in self._mine.items()}

    def _left_s(self) -> int:
        return max(1, math.ceil(MINUTE_S - self._clock() % MINUTE_S))

    def _headers(self, key: Key, used: Used) -> dict[str, str]:
        """As OpenAI names them; only of limits that there are."""
        found = {}
        for what, most, have in (("requests", key.requests, used.requests), ("tokens", key.tokens, used.tokens)):
            if most is not None:
                found[f"x-ratelimit-limit-{what}"] = str(most)
                found[f"x-ratelimit-remaining-{what}"] = str(max(0, most - have))
                found[f"x-ratelimit-reset-{what}"] = f"{self._left_s()}s"
        return found
