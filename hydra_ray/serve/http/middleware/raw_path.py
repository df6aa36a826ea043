"""Paths are split into segments before they are decoded, so that a user id may hold `/`.

Servers decode the whole path first: `/v1/users/a%2Fexport` and `/v1/users/a/export` come out alike, and bytes that are
no UTF-8 all become the same character, which makes one user of two.
"""

from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError


def escape(segment: str) -> str:
    """A decoded segment in the one form in which it can be part of a path."""
    return segment.replace("%", "%25").replace("/", "%2F")


def unescape(segment: str) -> str:
    """The inverse of `escape`."""
    return segment.replace("%2F", "/").replace("%25", "%")


def split_path(raw: bytes) -> str:
    """`raw`, percent-encoded, with every segment decoded and escaped. Raises UnicodeDecodeError if it is no UTF-8."""
    return "/".join(escape(unquote_to_bytes(segment).decode("utf-8")) for segment in raw.split(b"/"))


def path_of(scope: Scope) -> str:
    """The path below the application's own prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def is_api(scope: Scope) -> bool:
    """Whether a request is of the API (below `/v1/`), which holds users' data."""
    path = path_of(scope)
    return path == "/v1" or path.startswith("/v1/")


class RawPathMiddleware:
    """ASGI middleware that routes by `split_path`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            try:
                scope["path"] = split_path(scope["raw_path"].split(b"?", 1)[0])
            except UnicodeDecodeError:
                problem = ApiError(422, "the path is no percent-encoded UTF-8", code="invalid_value")
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)
