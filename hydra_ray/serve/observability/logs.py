"""The service's log: one JSON object a line; at the default level never texts of users, queries or keys."""

import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import TextIO

LOGGER = logging.getLogger("hydra_ray.serve")
LOGGERS = (LOGGER, logging.getLogger("hydra_ray.inference"))
"""Whose lines are the service's log."""

REQUEST: ContextVar[str | None] = ContextVar("hydra_request", default=None)
"""The id of the request that is being worked on."""

FRAMES = 4
"""How many frames of an error's traceback are logged."""


class JsonFormatter(logging.Formatter):
    """time, level, message; request_id, where there is a request; the record's own `fields`. Of an error its type and
    place, as its message may quote the request; the traceback at DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        request_id = REQUEST.get()
        if request_id is not None:
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": type(error).__name__, "at": place(error)}
            if LOGGER.isEnabledFor(logging.DEBUG):
                line["traceback"] = "".join(traceback.format_exception(error))
        return json.dumps(line, ensure_ascii=True)


def to_stream(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends the lines to `stream` (None: standard error), and nowhere else. Again: replaces the earlier stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for logger in LOGGERS:
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def place(error: BaseException) -> str:
    """The innermost frames, innermost first, as `folder/file.py:line`."""
    frames = traceback.extract_tb(error.__traceback__)[: -1 - FRAMES : -1]
    return " < ".join(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames)
