"""Without keys, nothing that a page of another site can make a browser do.

A browser on this machine reaches the service for every page that it shows. Two things keep those pages out: the Host
header (a page whose own name is made to point here, DNS rebinding, still sends that name) and what browsers say of a
request's origin (`Sec-Fetch-Site`, `Origin`), which no page can change. With keys neither is needed: no browser adds a
key by itself.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.middleware.raw_path import is_api
from hydra_ray.utils.network import is_loopback

_OWN_SITE = ("same-origin", "none")
"""`Sec-Fetch-Site` of the service's own page, and of what the user typed. `same-site` may be another port's page."""


class ForeignPageMiddleware:
    """ASGI middleware of a service without keys. hosts: names that it may be called by besides those of loopback."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._check_host(headers) or (_check_origin(headers) if is_api(scope) else None)
            if problem is not None:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> ApiError | None:
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else ""
        if is_loopback(name) or name in self._hosts:
            return None
        return ApiError(
            403,
            f"Host {', '.join(given)!r}: without API keys the service answers to localhost and 127.0.0.1 alone; call "
            "it by one of these, start it with keys, or list the name in `allowed_hosts`",
            code="foreign_host",
        )


def _check_origin(headers: Headers) -> ApiError | None:
    """Whatever it is, a call of the API that another site's page makes has no business here: reads are private, and
    changes need no answer to do harm."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in _OWN_SITE:
        what = f"Sec-Fetch-Site {site!r}"
    elif origin is not None and _authority(origin) != headers["host"].lower():
        what = f"Origin {origin!r}"
    else:
        return None
    return ApiError(
        403,
        f"{what}: without API keys only the service's own page and programs on this machine may call it; start it with "
        "keys to call it from other pages",
        code="foreign_origin",
    )


def host_name(header: str) -> str:
    """The name in a Host header, in lower case and without its port; empty if it is none."""
    try:
        return (urlsplit(f"//{header.strip()}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    """Host and port of an origin as a Host header writes them; empty for `null`. The scheme is left out: a proxy in
    front may be the one that encrypts."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
