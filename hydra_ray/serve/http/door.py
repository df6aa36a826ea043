"""In the HTTP proxy in front of the gateways: repeats their refusals under overload, and gives the proxy's own errors
the shape that clients expect.

A refusal that goes through proxy and gateway costs about as much processor time as half an answer; one repeated here,
next to nothing. How many answers there is room for is not configured: it is what was in work when a gateway refused.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import problem_of
from hydra_ray.serve.http.outer import REQUEST_ID, HttpMeters, request_id
from hydra_ray.serve.http.room import FULL
from hydra_ray.serve.types import StageDownError

HOLD_S = 0.5
"""How long a refusal is repeated before the gateways are asked again: they may have become more."""

OURS = "/v1/"


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a gateway answered. inside: requests in work then, this one not counted. until: on the door's clock."""

    start: Message
    body: bytes
    inside: int
    until: float


class Door:
    """ASGI middleware of a proxy. Requests are told apart by path alone: each path has room of its own."""

    def __init__(
        self, app: ASGIApp, meters: HttpMeters | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._meters, self._clock = app, meters, clock
        self._inside: Counter[str] = Counter()  # in work, by path; only paths that have some
        self._refusals: dict[str, _Refusal] = {}  # by path; only paths that a gateway has marked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, _Shaped(scope, send))
            return
        path = scope["path"]
        refusal = self._refusals.get(path)
        if refusal and self._clock() < refusal.until and self._inside[path] >= refusal.inside:
            await self._repeat(refusal, scope, send)
            return
        inside = self._inside[path]
        self._inside[path] += 1
        seen = _Shaped(scope, send)
        try:
            await self._app(scope, receive, seen)
        finally:
            self._inside[path] -= 1
            if not self._inside[path]:
                del self._inside[path]
            if seen.full is not None:
                self._refusals[path] = _Refusal(seen.full, bytes(seen.body), inside, self._clock() + HOLD_S)

    async def _repeat(self, refusal: _Refusal, scope: Scope, send: Send) -> None:
        start = {**refusal.start, "headers": list(refusal.start["headers"])}
        MutableHeaders(scope=start)[REQUEST_ID] = request_id(Headers(scope=scope).get(REQUEST_ID))
        await send(start)
        await send({"type": "http.response.body", "body": refusal.body})
        if self._meters is not None:
            self._meters.request(f"POST {scope['path']}", int(start["status"]))


class _Shaped:
    """`send` of one request: keeps a refusal that may be repeated, and words the proxy's own errors anew.

    The gateway's own errors are JSON; one in plain text says, in words for the operator, that a gateway died while it
    worked on the request or that none is there. full: the refusal's start, without the mark; body: its body.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._replaced = False
        self.full: Message | None = None
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if FULL in headers:
                del headers[FULL]
                self.full = {**message, "headers": list(message["headers"])}
            elif message["status"] >= 500 and self._is_the_proxys(headers):
                self._replaced = True
                await self._replace(headers.get(REQUEST_ID))
                return
        elif self.full is not None:
            self.body += message.get("body", b"")
        await self._send(message)

    def _is_the_proxys(self, headers: Headers) -> bool:
        return headers.get("content-type", "").startswith("text/plain") and OURS in self._scope["path"]

    async def _replace(self, known_as: str | None) -> None:
        problem = problem_of(StageDownError("a part went away while it worked on this, or is not there yet"))
        assert problem is not None
        response = problem.response()
        response.headers[REQUEST_ID] = request_id(known_as)
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": response.body})
