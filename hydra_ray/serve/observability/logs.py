"""The service's log: one JSON object a line; at the default level never texts of users, queries or keys."""

import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from hydra_ray.utils.tracing import trace_id

LOGGER = logging.getLogger("hydra_ray.serve")
LOGGERS = (LOGGER, logging.getLogger("hydra_ray.inference"))
"""Whose lines are the service's log."""

REQUEST: ContextVar[str | None] = ContextVar("hydra_request", default=None)
"""The id of the request that is being worked on."""

FRAMES = 4
"""How many frames of an error's traceback are logged."""


class ServiceFormatter(JsonFormatter):
    """time, level, message; request_id and trace_id, where there is a request or a trace; what the line's `extra`
    holds. Of an error its type and place, as its message may quote the request; the traceback at DEBUG."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "exc_info": "traceback"}
        super().__init__(["asctime", "levelname", "message"], datefmt="%Y-%m-%dT%H:%M:%SZ", rename_fields=names)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """See JsonFormatter, which hands in the traceback with `message_dict`."""
        if not LOGGER.isEnabledFor(logging.DEBUG):
            message_dict.pop("exc_info", None)
        super().add_fields(log_data, record, message_dict)
        request_id = REQUEST.get()
        if request_id is not None:
            log_data.setdefault("request_id", request_id)
        trace = trace_id()
        if trace is not None:
            log_data.setdefault("trace_id", trace)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            log_data |= {"error": type(error).__name__, "at": place(error)}


def to_stream(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends the lines to `stream` (None: standard error), and nowhere else. Again: replaces the earlier stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(ServiceFormatter())
    for logger in LOGGERS:
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def place(error: BaseException) -> str:
    """The innermost frames, innermost first, as `folder/file.py:line`."""
    frames = traceback.extract_tb(error.__traceback__)[: -1 - FRAMES : -1]
    return " < ".join(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames)
