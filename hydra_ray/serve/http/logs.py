"""One JSON line per request: what was asked for and how it went; never texts, user ids or keys."""

import json
import logging
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TextIO

LOGGER = logging.getLogger("hydra_ray.serve")
FRAMES = 4
"""How many frames of an unexpected error's place are told."""


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
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "route": route,
        "status": status,
        "ms": round(seconds * 1e3, 1),
        "request_id": request_id,
        "tenant": tenant,
    }
    if degraded:
        line["degraded"] = list(degraded)
    if error is not None:
        line["error"] = type(error).__name__
        line["at"] = _place(error)
    LOGGER.log(logging.INFO if error is None else logging.ERROR, json.dumps(line, ensure_ascii=True))
    if error is not None:
        LOGGER.debug("request %s", request_id, exc_info=error)


def to_stream(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends the lines to `stream` (None: standard error), and nowhere else. Again: replaces the earlier stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


def _place(error: Exception) -> str:
    """The innermost frames, innermost first, as `folder/file.py:line`."""
    frames = traceback.extract_tb(error.__traceback__)[: -1 - FRAMES : -1]
    return " < ".join(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames)
