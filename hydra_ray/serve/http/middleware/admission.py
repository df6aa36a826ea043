"""Questions that there is no room for are refused before anything of them is read: under overload, that is most of the
work. `ConcurrencyLimiter.one` still decides for those that were let in together."""

from collections.abc import Collection
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from hydra_ray.inference.types import OverloadedError
from hydra_ray.serve.http.errors import known_problem
from hydra_ray.serve.http.route_context import ConcurrencyLimiter

FULL = "x-hydra-full"
"""Header of these refusals: a proxy in front may repeat them for as long as as much is in work (see `door`)."""


class _Template(NamedTuple):
    """What the log and the metrics read of a route."""

    path: str


class AdmissionMiddleware:
    """ASGI middleware. paths: of the routes whose POSTs take a slot, without parameters."""

    def __init__(self, app: ASGIApp, slots: ConcurrencyLimiter, paths: Collection[str]) -> None:
        self._app, self._slots, self._paths = app, slots, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
            if path in self._paths:
                try:
                    self._slots.check()
                except OverloadedError as error:
                    scope["route"] = _Template(path)
                    problem = known_problem(error)
                    problem.headers[FULL] = "1"
                    await problem.response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)
