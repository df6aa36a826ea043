"""`/healthz`, `/readyz`, `/metrics`: for those who run the service. They tell nothing of users;
`/metrics` asks for a key where there are keys, the others are open to all."""

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from hydra_ray.serve.http.errors import documented
from hydra_ray.serve.http.route_context import RouteContext

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/"""


class Health(BaseModel):
    """This process runs."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """parts: part -> `ok`, or why it is not."""

    ready: bool
    parts: dict[str, str]


def router(front: RouteContext) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> Health:
        """200 while the process runs; asks nothing of the other parts."""
        return Health()

    @routes.get(
        "/readyz",
        responses={**documented(500), 503: {"model": Readiness, "description": "Not ready"}},
    )
    async def readyz(response: Response) -> Readiness:
        """200 if every part is, else 503."""
        parts = await front.service.ready()
        ready = all(state == "ok" for state in parts.values())
        response.status_code = 200 if ready else 503
        return Readiness(ready=ready, parts=parts)

    @routes.get("/metrics", response_class=PlainTextResponse, responses=documented(500, 503))
    async def metrics() -> PlainTextResponse:
        """Prometheus' text format."""
        return PlainTextResponse(await front.service.metrics(), media_type=PROMETHEUS)

    return routes
