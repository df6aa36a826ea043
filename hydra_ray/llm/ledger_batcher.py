"""The client's side of the ledger: many small notes and wishes become few exchanges."""

import asyncio
from dataclasses import dataclass

from hydra_ray.errors import BudgetReachedError
from hydra_ray.llm.response_cache import LIMITED, REFUSED, WAIT, CallOutcome
from hydra_ray.llm.response_cache_ports import ResponseCachePort

RETRY_S = 0.02
LONGEST_RETRY_S = 1.0
"""However long a rate limit lasts: meanwhile another worker may have learned that it is over."""


class RateLimitedError(Exception):
    """The server has refused many times in a row for its rate limits; it is not asked any more for now."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """A call that asks to be let out: the most it can cost, about how many tokens it is, and who waits for it."""

    most: float
    tokens: float
    granted: "asyncio.Future[int]"


class LedgerBatcher:
    """Gathers what calls want and what they brought while the last exchange is under way, then sends all at once.

    With an idle ledger a note is on disk within a fraction of a millisecond (in this process) or about a millisecond
    (through the actor); nothing waits for a timer but calls that a rate limit holds back. Belongs to one event loop.
    """

    def __init__(self, port: ResponseCachePort) -> None:
        self._port = port
        self._settled: list[CallOutcome] = []
        self._wanted: list[_Wish] = []
        self._done = 0
        self._sender: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def reserve(self, most: float, tokens: float = 0.0) -> int:
        """A reservation for one call that costs `most` at most and has about so many tokens.

        Waits while only calls in flight stand between it and the budget, and as long as the server's rate limits ask.
        Raises BudgetReachedError, RateLimitedError.
        """
        wish = _Wish(most, tokens, asyncio.get_running_loop().create_future())
        self._wanted.append(wish)
        self._wake()
        try:
            granted = await wish.granted
        except asyncio.CancelledError:  # it may have been granted since this task last ran
            if wish.granted.done() and not wish.granted.cancelled() and wish.granted.exception() is None:
                self.abandon(wish.granted.result())
            raise
        if granted == REFUSED:
            raise BudgetReachedError(await self._port.budget_message())
        if granted == LIMITED:
            raise RateLimitedError
        return granted

    def settle(self, settled: CallOutcome) -> None:
        """Notes how a call ended; on disk after the next exchange that succeeds (`flush` waits for it)."""
        self._settled.append(settled)
        self._wake()

    def abandon(self, granted: int) -> None:
        """Settles what was granted to a call that never went out."""
        if granted > 0:
            self.settle(CallOutcome(granted, sent=False))

    def add_done(self, requests: int) -> None:
        """Counts finished requests, for progress; sent with the next exchange."""
        self._done += requests

    async def flush(self) -> None:
        """Returns when everything noted so far is on disk. Raises what the ledger raised; the notes are kept then."""
        while self._settled or self._done or self._sender is not None:
            self._wake()
            assert self._sender is not None
            await self._sender

    def _wake(self) -> None:
        self._news.set()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())
            self._sender.add_done_callback(_seen)

    async def _send(self) -> None:
        settled: list[CallOutcome] = []
        wanted: list[_Wish] = []
        done = 0
        try:
            await asyncio.sleep(0)  # lets everything that is ready in this turn of the loop join in
            while self._settled or self._wanted or self._done:
                self._news.clear()
                settled, self._settled = self._settled, []
                wanted, self._wanted = self._wanted, []
                done, self._done = self._done, 0
                wanted = [wish for wish in wanted if not wish.granted.done()]
                tokens = [wish.tokens for wish in wanted]
                granted = await self._port.exchange(settled, [wish.most for wish in wanted], done, tokens)
                settled, done = [], 0
                await self._hand_out(wanted, granted)
        except BaseException as error:
            # The next exchange sends them; the ledger counts no note twice, should it have got them.
            self._settled, self._done = settled + self._settled, done + self._done
            for wish in [*wanted, *self._wanted]:
                if not wish.granted.done():
                    wish.granted.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            self._wanted = []
            raise
        finally:
            self._sender = None

    async def _hand_out(self, wanted: list[_Wish], granted: list[int]) -> None:
        waiting = []
        for wish, reservation in zip(wanted, granted, strict=True):
            if reservation == WAIT:
                waiting.append(wish)
            elif not wish.granted.done():
                wish.granted.set_result(reservation)
            else:
                self.abandon(reservation)
        self._wanted = waiting + self._wanted  # those that have waited longest come first
        if waiting and not self._settled:
            await self._pause(waiting[0])

    async def _pause(self, first: _Wish) -> None:
        """Until `first` may be let out, or there is something to note."""
        pause_s = await self._port.pause_s(first.tokens)
        pause_s = RETRY_S if pause_s <= 0 or pause_s > 1e9 else min(pause_s, LONGEST_RETRY_S)
        while pause_s > 0 and not self._settled:
            self._news.clear()
            began = asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._news.wait(), pause_s)
            except TimeoutError:
                return
            if self._done or any(wish.granted.done() for wish in self._wanted):
                return
            pause_s -= asyncio.get_running_loop().time() - began


def _seen(sender: asyncio.Task[None]) -> None:
    """Keeps asyncio from reporting an exchange's failure that nobody waits for: `flush` tries once more, and raises."""
    if not sender.cancelled():
        sender.exception()
