"""Routes that only this node may call: the black box behind the service's own port.

On a cluster the served LLM is an application like the service and shares its port. The service asks for keys, vLLM asks
for none: without this layer, anyone who reaches the port uses the GPUs. Gateways call the proxy of their own node, so
nothing from outside is needed.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.utils.network import is_loopback

LOCAL_ROUTE = "local_route"
"""The error's code."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers of a reverse proxy, which may run on this node and speak for anyone."""


class LocalRoutesMiddleware:
    """ASGI middleware around Serve's HTTP proxy. prefixes: paths, with all below them, for this node alone."""

    def __init__(self, app: ASGIApp, prefixes: Collection[str]) -> None:
        self._app, self._prefixes = app, tuple(prefix.rstrip("/") for prefix in prefixes if prefix.strip("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._guards(scope["path"]) and not from_here(scope):
            problem = ApiError(
                403,
                "only this node may call this route; use the service's own, or serve the LLM where clients can be told "
                "apart",
                code=LOCAL_ROUTE,
            )
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _guards(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._prefixes)


def from_here(scope: Scope) -> bool:
    """Whether a request comes from a process on this node, and not through a reverse proxy on it."""
    client, server = scope.get("client"), scope.get("server")
    if client is None or any(name in Headers(scope=scope) for name in FORWARDED):
        return False
    # A process that calls its own node by the node's address has that address, too.
    return is_loopback(client[0]) or (server is not None and client[0] == server[0])
