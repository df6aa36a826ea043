"""Nothing under `/v1/` without an API key: checked before a body is read, for every route there is or will be, with
the key's end and limits."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.http.keys import Key, KeySource, KeysUnavailableError
from hydra_ray.serve.http.middleware.raw_path import is_api

RETRY_AFTER = "2"
"""Seconds, of a 503."""


class ApiKeyMiddleware:
    """ASGI middleware: puts the key and its tenant into `request.state`, or answers 401, 429, or 503 where keys
    cannot be read. What the route leaves in `request.state.tokens` is counted against the key's limit."""

    def __init__(self, app: ASGIApp, ring: KeySource, limits: KeyLimits) -> None:
        self._app, self._ring, self._limits = app, ring, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_api(scope):
            await self._app(scope, receive, send)
            return
        try:
            key = self._key(scope)
            left = self._limits.admit(key)
        except ApiError as problem:
            await problem.response()(scope, receive, send)
            return
        state = scope["state"]
        state["tenant"], state["key"], state["tokens"] = key.tenant, key, 0

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and left:
                MutableHeaders(scope=message).update(left)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        finally:
            self._limits.spent(key, state["tokens"])

    def _key(self, scope: Scope) -> Key:
        """The request's key. Raises ApiError."""
        try:
            key = self._ring.find(Headers(scope=scope).get("authorization"))
        except KeysUnavailableError as error:
            raise ApiError(503, str(error), code="keys_unavailable", headers={"Retry-After": RETRY_AFTER}) from None
        if key is None:
            raise _refusal("no valid API key: send one as `Authorization: Bearer KEY`")
        if key.expired(time.time()):
            raise _refusal("this API key has expired: ask for a new one")
        return key


def _refusal(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
