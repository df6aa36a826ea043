"""Server-sent events of an answer that is still being made: the client hears at once, and then now and then, that it
is."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hydra_ray.serve.http.errors import ClientGoneError, to_api_error, unexpected

Write = Callable[[str], None]
"""Takes an event for the client."""

STATUS_S = 0.25
"""How long an answer may fail with a status of its own; after it, a stream has begun and the error is an event."""
KEEP_ALIVE_S = 10.0
KEEP_ALIVE = ": keep-alive\n\n"
"""A comment: clients skip it, and no proxy takes the connection for dead."""


async def stream(
    make: Callable[[Write], Coroutine[Any, Any, None]], request_id: str, status_s: float = STATUS_S
) -> Response:
    """A response that begins before the answer is made.

    Args:
        make: makes it, and writes its events as they come.
        request_id: for an unexpected error.
        status_s: how long is waited for a first event, or an error.

    Raises:
        Whatever `make` raises within that time, before its first event.
    """
    written: asyncio.Queue[str] = asyncio.Queue()
    work = asyncio.ensure_future(make(written.put_nowait))
    first = asyncio.ensure_future(written.get())
    try:
        await asyncio.wait({work, first}, timeout=status_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        work.cancel()
        first.cancel()
        raise
    if work.done() and not first.done() and written.empty():
        first.cancel()
        work.result()
    return _EventStream(work, first, written, request_id)


class _EventStream(Response):
    """`work` itself notices that its client has left (`run_until_disconnect`), so nothing else may `receive`."""

    media_type = "text/event-stream"

    def __init__(
        self, work: "asyncio.Future[None]", first: "asyncio.Future[str]", written: "asyncio.Queue[str]", request_id: str
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._work, self._next, self._written, self._request_id = work, first, written, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await write(KEEP_ALIVE)
            while not (self._work.done() and not self._next.done() and self._written.empty()):
                waiting: set[asyncio.Future[Any]] = {self._next} if self._work.done() else {self._work, self._next}
                await asyncio.wait(waiting, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                if self._next.done():
                    await write(self._next.result())
                    self._next = asyncio.ensure_future(self._written.get())
                elif not self._work.done():
                    await write(KEEP_ALIVE)
            try:
                self._work.result()
            except ClientGoneError:
                return
            except Exception as error:
                problem = to_api_error(error)
                await write(_event((problem or unexpected(self._request_id)).tree()), more=False)
                if problem is None:
                    raise
                return
            await write("", more=False)
        finally:
            self._work.cancel()
            self._next.cancel()


def _event(tree: dict[str, Any]) -> str:
    return f"data: {json.dumps(tree)}\n\n"
