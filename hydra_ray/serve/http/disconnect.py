"""How long the service's work is waited for, and what becomes of it then."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from hydra_ray.inference.types import DeadlineError
from hydra_ray.serve.http.errors import ClientGoneError

T = TypeVar("T")

CANCEL_S = 1.0
"""How long cancelled work may take to let go before it is left alone."""


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What `work` returns; it is cancelled when the client hangs up, the deadline passes or the caller is cancelled.

    receive: of a request whose body has been read. Starlette does not cancel an endpoint by itself. Raises
    ClientGoneError, DeadlineError, and what `work` raises.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise ClientGoneError if gone.done() else DeadlineError(f"no answer within {seconds:g} s")
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working}, timeout=CANCEL_S)
        for task in (working, gone):
            task.add_done_callback(_seen)


async def _gone(receive: Receive) -> None:
    """Returns when the client has hung up; an error of the connection means the same."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Unbroken:
    """Changes of users, which nothing cuts short: a client that hangs up must not leave half a deletion behind."""

    def __init__(self) -> None:
        self._working: set[asyncio.Future[Any]] = set()  # the event loop alone would not keep them alive

    async def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """What `work` returns. Raises DeadlineError after `seconds`; the work goes on."""
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        task.add_done_callback(_seen)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise DeadlineError(f"not done within {seconds:g} s; it goes on, look again")
        return task.result()


def _seen(task: asyncio.Future[Any]) -> None:
    """Looks at the error, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()
