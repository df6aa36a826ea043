"""The HTTP server's side of limits: what uvicorn would buffer or wait for without end.

A request's headers may take HEADER_BYTES and HEADER_S; the whole request REQUEST_S. Beyond it the connection is closed,
with an answer that says why. Applies to uvicorn's httptools protocol, which Ray Serve's proxies run.
"""

import asyncio
import json
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hydra_ray.serve.http.middleware.request_size import HEADER_BYTES, TOO_LARGE

HEADER_S = 10.0
REQUEST_S = 60.0
"""A body of a MiB takes that long at 17 KiB/s."""
LINGER_S = 2.0
"""How long a refused client's bytes are still read and thrown away: a connection that is closed with bytes unread is
reset, and the client may lose the answer."""

_TOO_SLOW = "the request did not arrive in time"
_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Which of the limits counts depends on what has arrived of the request on its way.

    _in_head: a request's headers are awaited or arriving. _requests: that arrived whole. _refused: the answer that
    closes the connection has been given.
    """

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _requests = 0
    _refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(HEADER_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._requests
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # a web socket from here on
            self._stop()
        elif self._in_head and self._requests == before:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                self._close(431, TOO_LARGE)
            elif self._timer is None:
                self._wait(HEADER_S)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True
        self._wait(HEADER_S)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._wait(REQUEST_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop()
        self._head_bytes, self._in_head = 0, True
        self._requests += 1
        super().on_message_complete()

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self._close, 408, _TOO_SLOW)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self, status: int, message: str) -> None:
        """Says why and closes, unless an answer is on its way already."""
        self._stop()
        if self.transport is None or self.transport.is_closing() or self._refused:
            return
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering:
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
            body = json.dumps({"error": error}).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
                % (status, _REASONS[status], len(body), body)
            )
        self._refused = True
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)


def guard_uvicorn() -> None:
    """Every uvicorn that this process starts from now on, and that names no protocol, has these limits."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{GuardedProtocol.__name__}"
