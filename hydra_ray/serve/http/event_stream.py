"""Server-sent events of an answer that is still being made: the client hears at once, and then now and then, that it
is."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hydra_ray.serve.http.errors import ClientGoneError, problem_of, unexpected

T = TypeVar("T")

STATUS_S = 0.25
"""How long an answer may fail with a status of its own; after it, a stream has begun and the error is an event."""
KEEP_ALIVE_S = 10.0
KEEP_ALIVE = ": keep-alive\n\n"
"""A comment: clients skip it, and no proxy takes the connection for dead."""


async def stream(
    work: "asyncio.Future[T]", events: Callable[[T], Iterable[str]], request_id: str, status_s: float = STATUS_S
) -> Response:
    """A response that begins before `work` is done. Raises what `work` raises within `status_s`."""
    try:
        done, _ = await asyncio.wait({work}, timeout=status_s)
    except asyncio.CancelledError:
        work.cancel()
        raise
    if done:
        work.result()
    return _EventStream(work, events, request_id)


class _EventStream(Response):
    """`work` itself notices that its client has left (`run_until_disconnect`), so nobody else may `receive`."""

    media_type = "text/event-stream"

    def __init__(self, work: "asyncio.Future[T]", events: Callable[[T], Iterable[str]], request_id: str) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._work, self._events, self._request_id = work, events, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await write(KEEP_ALIVE)
            while not self._work.done():
                await asyncio.wait({self._work}, timeout=KEEP_ALIVE_S)
                if not self._work.done():
                    await write(KEEP_ALIVE)
            try:
                made: Any = self._work.result()
            except ClientGoneError:
                return
            except Exception as error:
                problem = problem_of(error)
                await write(_event((problem or unexpected(self._request_id)).tree()), more=False)
                if problem is None:
                    raise
                return
            for event in self._events(made):
                await write(event)
            await write("", more=False)
        finally:
            self._work.cancel()


def _event(tree: dict[str, Any]) -> str:
    return f"data: {json.dumps(tree)}\n\n"
