"""Requests whose headers are over the limit get 431, whatever server stands in front."""

from starlette.types import ASGIApp, Receive, Scope, Send

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
