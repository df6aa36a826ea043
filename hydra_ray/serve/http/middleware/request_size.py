"""Limits on a request's size: 413 for its body, 431 for its headers, whatever server stands in front."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError

HEADER_BYTES = 32 << 10
TOO_LARGE = f"the request's headers are over the limit of {HEADER_BYTES} bytes"
_AROUND = 4
"""Colon, blank and line end of each."""


class HeaderSizeMiddleware:
    """ASGI middleware: path, query and headers together, as they stood in the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _size(scope) > HEADER_BYTES:
            await ApiError(431, TOO_LARGE, code="headers_too_large").response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _size(scope: Scope) -> int:
    line = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
    return line + sum(len(name) + len(value) + _AROUND for name, value in scope["headers"])


class BodySizeMiddleware:
    """ASGI middleware. limit: bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and (len(length) > 19 or int(length) > self._limit):
            await ApiError(413, self._message, code="body_too_large").response()(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                # FastAPI lets this one kind of error through while it reads a body.
                raise HTTPException(413, self._message)
            return message

        return counted

    @property
    def _message(self) -> str:
        return f"the body is over the limit of {self._limit} bytes"
