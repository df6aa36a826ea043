"""Bodies over the limit get 413: at once where their length is declared, else as soon as they exceed it."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError


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
