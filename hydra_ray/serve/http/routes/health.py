"""`/healthz`, `/readyz`: for those who run the service, open to all; they tell nothing of users."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from hydra_ray.serve.http.errors import documented
from hydra_ray.serve.http.route_context import RouteContext


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

    return routes
