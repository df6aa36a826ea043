"""`/v1/usage`: what a tenant's keys have been used for."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from hydra_ray.inference.types import StageDownError
from hydra_ray.serve.http.errors import documented
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.state.usage import UsageUnavailableError

logger = logging.getLogger(__name__)


class KeyDay(BaseModel):
    """One key's day (UTC). key: its name, or the first digits of its hash. refused: requests over its limits. tokens:
    of the language model, prompts and answers."""

    day: str
    key: str
    requests: int
    refused: int
    tokens: int


class KeyUsage(BaseModel):
    """By day, then key; a few seconds old."""

    data: list[KeyDay]


def router(limits: KeyLimits) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["operations"], prefix="/v1/usage")

    @routes.get("", responses=documented(401, 422, 429, 500, 503))
    async def usage(request: Request, days: Annotated[int, Query(ge=1, le=400)] = 30) -> KeyUsage:
        """Requests and tokens of the last days, by key."""
        since = (datetime.now(UTC) - timedelta(days=days - 1)).strftime("%Y-%m-%d")
        try:
            found = await asyncio.to_thread(limits.days, request.state.tenant, since)
        except UsageUnavailableError as error:
            logger.warning("%s", error)
            raise StageDownError("usage cannot be read; the service's log says why") from None
        return KeyUsage(
            data=[
                KeyDay(
                    day=slot.day,
                    key=slot.name or slot.key,
                    requests=used.requests,
                    refused=used.refused,
                    tokens=used.tokens,
                )
                for slot, used in found
            ]
        )

    return routes
