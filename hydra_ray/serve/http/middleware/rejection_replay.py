"""In the HTTP proxy in front of the gateways: repeats their refusals under overload, and gives the proxy's own errors
the shape that clients expect.

A refusal that goes through proxy and gateway costs a tenth of an answer's processor time (4.5 of 45 ms), and under
overload there are several for each answer; one repeated here costs next to nothing. It is counted, not logged. How many
answers there is room for is not configured: it is what was in work when a gateway refused.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.inference.types import StageDownError
from hydra_ray.serve.http.errors import known_problem
from hydra_ray.serve.http.middleware.admission import FULL
from hydra_ray.serve.http.middleware.request_log import REQUEST_ID, HttpMeters, request_id

PROBE_EVERY_S = 0.5
"""How often one request is let in although there seems to be no room: gateways may have become more."""

FORGET_S = 5.0
"""A refusal is not repeated longer than this after the gateways' last one."""

GROWTH = 1 / 16
"""By this share the room is thought larger when a gateway takes on what seemed too much: eightfold in 17 s, so that the
door opens no later than new replicas start, and at most so much more than there is room for is let in at a time."""

GONE = "a part went away while it worked on this, or is not there yet"
OURS = "/v1/"
OK = 200
NO_ROUTE = 404
"""The gateways' own are JSON: one of a new proxy's says that it knows no gateway yet."""
NEW_S = 30.0


@dataclass(slots=True)
class _Full:
    """What is known of a path whose gateways have refused a request.

    start, body: of the last refusal. room: requests that can be in work at once, as far as is known. probe_at: when the
    next probe is due; forget_at: when all this is worth nothing any more; both on the door's clock."""

    start: Message
    body: bytes
    room: int
    probe_at: float
    forget_at: float


class RejectionReplayMiddleware:
    """ASGI middleware of a proxy. Requests are distinguished by path alone: each path has room of its own."""

    def __init__(
        self, app: ASGIApp, meters: HttpMeters | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._meters, self._clock = app, meters, clock
        self._new_until = clock() + NEW_S
        self._inside: Counter[str] = Counter()  # in work, by path; only paths that have some
        self._full: dict[str, _Full] = {}  # by path; only paths that a gateway has marked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._pass_on(scope, receive, _Shaped(scope, send, self._is_new))
            return
        path = scope["path"]
        inside = self._inside[path]
        full, now = self._known(path), self._clock()
        probe = full is not None and inside >= full.room
        if full and probe:
            if now < full.probe_at:
                await self._repeat(full, scope, send)
                return
            full.probe_at = now + PROBE_EVERY_S
        self._inside[path] += 1

        def ended() -> None:
            self._inside[path] -= 1
            if not self._inside[path]:
                del self._inside[path]
            self._learn(path, inside, probe, shaped)

        shaped = _Shaped(scope, send, self._is_new, ended)
        await self._pass_on(scope, receive, shaped)

    @property
    def _is_new(self) -> bool:
        return self._clock() < self._new_until

    async def _pass_on(self, scope: Scope, receive: Receive, shaped: "_Shaped") -> None:
        try:
            await self._app(scope, receive, shaped)
            await shaped.finish()
        finally:
            shaped.end()

    def _known(self, path: str) -> _Full | None:
        full = self._full.get(path)
        if full and self._clock() >= full.forget_at:
            del self._full[path]
            return None
        return full

    def _learn(self, path: str, inside: int, probe: bool, shaped: "_Shaped") -> None:
        """What the answer to one request says. inside: requests in work when it came."""
        full, now = self._known(path), self._clock()
        if shaped.refusal is not None:
            # Others that came meanwhile are about to be refused, too, and count as in work: the least number is true.
            room = min(inside, full.room) if full else inside
            start, body = shaped.refusal, bytes(shaped.body)
            self._full[path] = _Full(start, body, max(1, room), now + PROBE_EVERY_S, now + FORGET_S)
        elif full and probe and shaped.status == OK:
            full.room += math.ceil(GROWTH * full.room)

    async def _repeat(self, full: _Full, scope: Scope, send: Send) -> None:
        start = {**full.start, "headers": list(full.start["headers"])}
        MutableHeaders(scope=start)[REQUEST_ID] = request_id(scope)
        await send(start)
        await send({"type": "http.response.body", "body": full.body})
        if self._meters is not None:
            self._meters.request(f"POST {scope['path']}", int(start["status"]))


class _Shaped:
    """`send` of one request: keeps a refusal that may be repeated, and words the proxy's own errors anew.

    The gateway's own errors are JSON; one in plain text, or no answer at all, says that a gateway died while it worked
    on the request or that none is there. status: of the answer, 0 before it begins. refusal: its start, without the
    mark; body: its body. new: the proxy has just started. ended: called once, before the client has the whole answer:
    its next request must not meet this one.
    """

    def __init__(self, scope: Scope, send: Send, new: bool = False, ended: Callable[[], None] | None = None) -> None:
        self._scope, self._send, self._new, self._ended = scope, send, new, ended
        self._replaced = False
        self.refusal: Message | None = None
        self.status = 0
        self.body = bytearray()

    def end(self) -> None:
        """There is nothing more to come."""
        if self._ended is not None:
            self._ended()
            self._ended = None

    async def finish(self) -> None:
        """The proxy has returned; where it has sent nothing, this must answer."""
        if not self.status:
            await self._replace()

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            headers, self.status = MutableHeaders(scope=message), message["status"]
            if FULL in headers:
                del headers[FULL]
                self.refusal = {**message, "headers": list(message["headers"])}
            elif (self.status >= 500 or (self._new and self.status == NO_ROUTE)) and self._is_the_proxys(headers):
                await self._replace()
                return
        elif message["type"] == "http.response.body":
            if self.refusal is not None:
                self.body += message.get("body", b"")
            if not message.get("more_body"):
                self.end()
        await self._send(message)

    def _is_the_proxys(self, headers: Headers) -> bool:
        return headers.get("content-type", "").startswith("text/plain") and OURS in self._scope["path"]

    async def _replace(self) -> None:
        response = known_problem(StageDownError(GONE)).response()
        response.headers[REQUEST_ID] = request_id(self._scope)
        self.status, self._replaced = response.status_code, True
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": response.body})
