"""The client's side of the ledger: many small notes and wishes become few exchanges."""

import asyncio

from hydra_ray.errors import BudgetReachedError
from hydra_ray.llm.ledger import REFUSED, WAIT, Settled
from hydra_ray.llm.ports import LedgerPort

RETRY_S = 0.02


class Books:
    """Gathers what calls want and what they brought while the last exchange is under way, then sends all at once.

    With an idle ledger a note is on disk within a fraction of a millisecond (in this process) or about a millisecond
    (through the actor); nothing waits for a timer. Belongs to one event loop.
    """

    def __init__(self, port: LedgerPort) -> None:
        self._port = port
        self._settled: list[Settled] = []
        self._wanted: list[tuple[float, asyncio.Future[int]]] = []
        self._done = 0
        self._sender: asyncio.Task[None] | None = None

    async def reserve(self, most: float) -> int:
        """A reservation for one call that costs `most` at most.

        Waits while only calls in flight stand between it and the budget. Raises BudgetReachedError.
        """
        wish: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._wanted.append((most, wish))
        self._wake()
        granted = await wish
        if granted == REFUSED:
            raise BudgetReachedError(await self._port.budget_message())
        return granted

    def settle(self, settled: Settled) -> None:
        """Notes how a call ended; on disk after the next exchange (`flush` waits for it)."""
        self._settled.append(settled)
        self._wake()

    def add_done(self, requests: int) -> None:
        """Counts finished requests, for progress; sent with the next exchange."""
        self._done += requests

    async def flush(self) -> None:
        """Returns when everything noted so far is on disk. Raises what the ledger raised."""
        while self._settled or self._done or self._sender is not None:
            self._wake()
            assert self._sender is not None
            await self._sender

    def _wake(self) -> None:
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        wanted: list[tuple[float, asyncio.Future[int]]] = []
        try:
            await asyncio.sleep(0)  # lets everything that is ready in this turn of the loop join in
            while self._settled or self._wanted or self._done:
                settled, self._settled = self._settled, []
                wanted, self._wanted = self._wanted, []
                done, self._done = self._done, 0
                wanted = [(most, wish) for most, wish in wanted if not wish.done()]
                granted = await self._port.exchange(settled, [most for most, _ in wanted], done)
                await self._hand_out(wanted, granted)
        except BaseException as error:
            for _, wish in [*wanted, *self._wanted]:
                if not wish.done():
                    wish.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            self._wanted = []
            raise
        finally:
            self._sender = None

    async def _hand_out(self, wanted: list[tuple[float, asyncio.Future[int]]], granted: list[int]) -> None:
        abandoned = []
        for (most, wish), reservation in zip(wanted, granted, strict=True):
            if reservation == WAIT:
                self._wanted.append((most, wish))
            elif not wish.done():
                wish.set_result(reservation)
            elif reservation != REFUSED:
                abandoned.append(Settled(reservation))
        self._settled += abandoned
        if self._wanted and not self._settled:
            await asyncio.sleep(RETRY_S)
