"""`/` and the files of the page, with headers that let the page load and reach nothing but this service."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

FOLDER = Path(__file__).parent
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content-Security-Policy, level 3. No inline script or style, nothing from elsewhere; Trusted Types (in browsers that
have them) make every assignment of a string to innerHTML and its like fail."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Kept, but asked for again each time: the modules of two versions are never mixed. 304 where nothing has changed.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Asset:
    """A file of the page. etag: quoted, of its content."""

    body: bytes
    media_type: str
    etag: str


def page_router() -> APIRouter:
    """`/` and `/page/{name}`, GET and HEAD, without authentication: they hold no data; the API behind them asks for a
    key. Not in the OpenAPI document. The files are read once, here; the router pickles."""
    assets = _assets()
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _respond(assets[INDEX], request)

    @router.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        if name not in assets or name == INDEX:
            raise HTTPException(404, "the page has no such file")
        return _respond(assets[name], request)

    return router


def _assets() -> dict[str, Asset]:
    assets = {}
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in TYPES:
            body = file.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            assets[file.name] = Asset(body, TYPES[file.suffix], etag)
    return assets


def _respond(asset: Asset, request: Request) -> Response:
    """The file, or 304 if the browser has it (RFC 9110, 13.1.2: weak comparison of a list of tags)."""
    headers = {**HEADERS, "ETag": asset.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if asset.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
