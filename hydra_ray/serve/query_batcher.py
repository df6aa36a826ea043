"""Gathers queries into batches, in a replica's event loop; how long a batch waits follows from the load.

While one batch is worked on, the next one gathers, and starts as soon as the first has ended. Where nothing is worked
on, a query waits for others only if they come so closely that one is likely to come in time.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Query = TypeVar("Query")
Result = TypeVar("Result")

WEIGHT = 0.2
"""Of the last gap between two queries in their mean, which follows a change of the load within some ten queries."""
LONGEST_GAP_S = 1.0
"""A longer gap counts as this one, so that a quiet hour is forgotten as quickly as a quiet second."""


class BatchWindow:
    """How long the first query of a batch should wait for others. Pure."""

    def __init__(self, longest_s: float) -> None:
        """longest_s: the most that a query may wait."""
        self._longest_s = longest_s
        self._last: float | None = None
        self._gap_s = LONGEST_GAP_S

    def arrived(self, now: float) -> None:
        """Notes a query. now: seconds, by the same clock each time."""
        if self._last is not None:
            self._gap_s += WEIGHT * (min(now - self._last, LONGEST_GAP_S) - self._gap_s)
        self._last = now

    @property
    def seconds(self) -> float:
        """The longest wait where another query is likely to come within it, else 0."""
        return self._longest_s if self._gap_s < self._longest_s else 0.0


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Query, Result]):
    query: Query
    deadline: float
    arrived: float
    answer: "asyncio.Future[Result | None]"


class QueryBatcher(Generic[Query, Result]):
    """Batches of queries, one at a time. Must be made in a running event loop."""

    def __init__(
        self,
        work: Callable[[Sequence[Query]], Awaitable[Sequence[Result]]],
        most: int,
        longest_s: float,
    ) -> None:
        """Starts to work.

        Args:
            work: One result per query, in order.
            most: Queries of a batch.
            longest_s: How long a query may wait for others while nothing is worked on.
        """
        self._work, self._most = work, most
        self._window = BatchWindow(longest_s)
        self._waiting: deque[_Waiting[Query, Result]] = deque()
        self._some, self._full = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def submit(self, query: Query, deadline: float) -> Result | None:
        """The query's result. Raises what `work` raises.

        Args:
            query: The query.
            deadline: In seconds since 1970.

        Returns:
            None if the deadline has passed before the query's batch began.
        """
        now = self._loop.time()
        self._window.arrived(now)
        answer: asyncio.Future[Result | None] = self._loop.create_future()
        self._waiting.append(_Waiting(query, deadline, now, answer))
        self._some.set()
        if len(self._waiting) >= self._most:
            self._full.set()
        return await answer

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            left_s = self._window.seconds - (self._loop.time() - self._waiting[0].arrived)
            if left_s > 0:
                await _either(self._full, left_s)
            await self._answer(self._next())

    def _next(self) -> list[_Waiting[Query, Result]]:
        """The queries that came first, without those whose callers have gone."""
        batch: list[_Waiting[Query, Result]] = []
        while self._waiting and len(batch) < self._most:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        if not self._waiting:
            self._some.clear()
        if len(self._waiting) < self._most:
            self._full.clear()
        return batch

    async def _answer(self, batch: Sequence[_Waiting[Query, Result]]) -> None:
        now = time.time()
        due = [one for one in batch if one.deadline > now]
        for one in batch:
            if one.deadline <= now:
                one.answer.set_result(None)
        if not due:
            return
        try:
            results = await self._work([one.query for one in due])
        except Exception as error:
            for one in due:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, result in zip(due, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or for so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
