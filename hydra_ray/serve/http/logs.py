"""One line of the log per request: what was asked for and how it went; never texts, user ids or keys."""

import logging
from collections.abc import Sequence
from typing import Any

from hydra_ray.serve.observability.logs import LOGGER, place


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
    """Writes the line, as INFO, or as ERROR with `error`: its type and place, as its message may quote the request.

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
