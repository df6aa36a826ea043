"""A request's span, which continues the caller's trace. Around the log, whose lines name the trace."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import CLIENT_GONE
from hydra_ray.serve.http.middleware.request_log import route_of
from hydra_ray.utils.tracing import TRACEPARENT, span


class TraceMiddleware:
    """ASGI middleware. The span has route template, status, and the reasons of a degraded answer: no path, no id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with span("request", "server", Headers(scope=scope).get(TRACEPARENT)) as request:
            try:
                await self._app(scope, receive, noted)
            finally:
                route, status = route_of(scope), status or CLIENT_GONE
                request.rename(route)
                request.set(http__route=route, http__response__status_code=status)
                if degraded := scope.get("state", {}).get("degraded"):
                    request.set(hydra__degraded=list(degraded))
                if status >= 500:
                    request.fail(f"HTTP {status}")
