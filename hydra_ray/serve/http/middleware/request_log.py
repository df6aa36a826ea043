"""The outermost layer: every request has an id and a line in the log, and no error gets past it."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import CLIENT_GONE, to_api_error, unexpected
from hydra_ray.serve.observability.logs import LOGGER, REQUEST, place

REQUEST_ID = "x-request-id"
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


class HttpMeters(Protocol):
    """What the front counts."""

    def request(self, route: str, status: int) -> None:
        """A request was answered; route: method and template."""

    def watch_queue(self, length: Callable[[], int]) -> None:
        """`length` tells how many answers are being made."""


class RequestLogMiddleware:
    """ASGI middleware. `request.state`: request_id, the client's own if it is well-formed; tenant, degraded: for the
    log, set further inside. echo_id: whether the answer carries the id in `x-request-id`."""

    def __init__(self, app: ASGIApp, echo_id: bool, meters: HttpMeters | None = None) -> None:
        self._app, self._echo_id, self._meters = app, echo_id, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        known_as = request_id(scope)
        # A state of the request's own: the server's is shared by all.
        scope["state"] = {**scope.get("state", {}), "request_id": known_as, "tenant": None, "degraded": ()}

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._echo_id:
                    MutableHeaders(scope=message)[REQUEST_ID] = known_as
            await send(message)

        failure: Exception | None = None
        before = REQUEST.set(known_as)
        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            problem = to_api_error(error) or unexpected(known_as)
            failure = error if problem.status == 500 else None
            if not status:
                await problem.response()(scope, receive, noted)
        finally:
            route, status = route_of(scope), status or CLIENT_GONE
            if self._meters is not None:
                self._meters.request(route, status)
            log_request(
                route=route,
                status=status,
                seconds=time.perf_counter() - began,
                request_id=known_as,
                tenant=scope["state"]["tenant"],
                degraded=scope["state"]["degraded"],
                error=failure,
            )
            REQUEST.reset(before)


def log_request(
    *,
    route: str,
    status: int,
    seconds: float,
    request_id: str,
    tenant: str | None,
    degraded: Sequence[str] = (),
    error: Exception | None = None,
) -> None:
    """Writes the line of a request, never with texts, user ids or keys: as INFO, or as ERROR with `error`.

    Of the error it shows type and place, as its message may quote the request.

    route: method and template (`GET /v1/users/{user_id}`), as the path may hold a user id. degraded: reasons. At DEBUG
    the error's traceback follows.
    """
    fields: dict[str, Any] = {
        "route": route,
        "status": status,
        "ms": round(seconds * 1e3, 1),
        "request_id": request_id,
        "tenant": tenant,
    }
    if degraded:
        fields["degraded"] = list(degraded)
    if error is not None:
        fields["error"] = type(error).__name__
        fields["at"] = place(error)
    LOGGER.log(logging.INFO if error is None else logging.ERROR, "%s: %d", route, status, extra=fields)
    if error is not None:
        LOGGER.debug("request %s", request_id, exc_info=error)


def request_id(scope: Scope) -> str:
    """What a request is known as: the client's own id if it is well-formed, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID)
    return given if given and _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """Method and template of an answered request (`GET /v1/users/{user_id}`)."""
    template = getattr(scope.get("route"), "path", None)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"  # some servers let any word through
    return f"{method} {template}" if template else "no route"
