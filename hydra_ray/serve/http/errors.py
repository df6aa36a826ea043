"""Errors in OpenAI's shape: `{"error": {message, type, param, code}}`, wherever they come from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from hydra_ray.inference.types import DeadlineError, LLMDownError, OverloadedError, RefusedError, StageDownError
from hydra_ray.serve.types import InvalidError, InvalidRowsError, RowMistake

CHAT_PATH = "/v1/chat/completions"
PERSONALISED, PLAIN = "personalised", "plain"
"""The two kinds of requests at CHAT_PATH; Pydantic names them where it says which field is wrong."""
LONGEST_MESSAGE = 500
MOST_PROBLEMS = 1000
STAGE_RETRY_S = 1.0
CLIENT_GONE = 499
"""nginx's status for a client that hung up before the answer: it appears in the log alone."""


class ErrorBody(BaseModel):
    """What went wrong. param: the field that is to blame. code: for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class RowProblem(BaseModel):
    """What is wrong with one row of an import."""

    row: int
    param: str
    message: str


class RowsErrorBody(ErrorBody):
    """problems: of all rows, the first MOST_PROBLEMS of them."""

    problems: list[RowProblem]


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorBody


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        rows: Sequence[RowMistake] = (),
    ) -> None:
        """rows: what is wrong with rows of an import."""
        super().__init__(message)
        self.rows = tuple(rows)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.tree(), self.status, self.headers)

    def tree(self) -> dict[str, Any]:
        """Its body."""
        body = ErrorBody(message=_shown(str(self)), type=_type(self.status), param=self.param, code=self.code)
        if self.rows:
            problems = [
                RowProblem(row=one.row, param=_shown(one.field), message=_shown(one.why))
                for one in self.rows[:MOST_PROBLEMS]
            ]
            return {"error": RowsErrorBody(**body.model_dump(), problems=problems).model_dump()}
        return ErrorAnswer(error=body).model_dump()


class ClientGoneError(Exception):
    """The client hung up: no answer is needed."""


def user_not_found(user_id: str) -> ApiError:
    """404: the tenant has no such user."""
    return ApiError(404, f"no user {user_id!r}; PUT a history to make one", code="user_not_found")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for its OpenAPI document."""
    return {status: {"model": ErrorAnswer, "description": _TITLES[status]} for status in statuses}


def to_api_error(error: Exception) -> ApiError | None:
    """What a service's error means to the client; None: it is a defect of ours."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, OverloadedError):
        return ApiError(429, str(error), code="overloaded", headers=_retry(error.retry_after_s))
    if isinstance(error, LLMDownError):
        return ApiError(503, str(error), code="llm_down", headers=_retry(error.retry_after_s))
    if isinstance(error, StageDownError):
        return ApiError(503, f"{error}; try again", code="stage_down", headers=_retry(STAGE_RETRY_S))
    if isinstance(error, DeadlineError):
        return ApiError(504, str(error) or "the request's deadline has passed", code="deadline")
    if isinstance(error, RefusedError):
        return ApiError(400, str(error), code="refused_by_model")
    if isinstance(error, InvalidError):
        return ApiError(422, str(error), param=error.param, code="invalid_value")
    if isinstance(error, InvalidRowsError):
        return ApiError(422, str(error), param=error.problems[0].field, code="invalid_rows", rows=error.problems)
    if isinstance(error, ClientGoneError):
        return ApiError(CLIENT_GONE, "the client is gone")
    return None


def known_problem(error: Exception) -> ApiError:
    """What one of the service's own errors means to the client."""
    problem = to_api_error(error)
    assert problem is not None
    return problem


def unexpected(request_id: str) -> ApiError:
    """500: a defect of ours; the log knows more under the request's id."""
    return ApiError(500, f"something went wrong here; ask for request {request_id}", code="internal_error")


def install(app: FastAPI) -> None:
    """Gives the framework's and the service's errors their shape. What is left goes on to `outer`."""
    for kind in (
        ApiError,
        OverloadedError,
        LLMDownError,
        StageDownError,
        DeadlineError,
        RefusedError,
        InvalidError,
        InvalidRowsError,
        ClientGoneError,
    ):
        app.add_exception_handler(kind, _of_service)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_framework)


async def _of_service(_request: Request, error: Exception) -> JSONResponse:
    return known_problem(error).response()


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    """422 where the shape is ours, 400 where it is OpenAI's, as there; 400 for what is no JSON at all."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is no JSON: {first['ctx']['error']}", code="invalid_json").response()
    param = _param(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] in {"model_attributes_type", "missing"} and param is None:
        message = "send a JSON object, with Content-Type: application/json"
    status = 400 if request.url.path.endswith(CHAT_PATH) else 422
    code = "unsupported_parameter" if first["type"] in {"unsupported", "extra_forbidden"} else "invalid_value"
    return ApiError(status, f"{param}: {message}" if param else message, param=param, code=code).response()


async def _of_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    message = str(error.detail)
    if error.status_code == 404:
        message = "there is no such path; see /docs"
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request))) or headers["Allow"]
        message = f"use {headers['Allow']} here"
    elif error.status_code == 400:
        message = "the body is no JSON that can be read"
    return ApiError(error.status_code, message, code=_CODES.get(error.status_code), headers=headers).response()


def _methods(request: Request) -> set[str]:
    """The methods of all routes that have the request's path; Starlette names those of the first one only."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return found


def _param(loc: Sequence[str | int]) -> str | None:
    """The field's name as OpenAI writes it: `messages[0].content`. None: the body as a whole."""
    name = ""
    parts = loc[2:] if len(loc) > 1 and loc[1] in {PERSONALISED, PLAIN} else loc[1:]
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return _shown(name) or None


def _shown(text: str) -> str:
    """One line of bounded length that UTF-8 can write: clients' own words come back in messages."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:LONGEST_MESSAGE]


def _retry(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _type(status: int) -> str:
    return "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"


_CODES = {400: "invalid_json", 404: "path_not_found", 405: "method_not_allowed", 413: "body_too_large"}
"""Of the framework's own errors."""

_TITLES = {
    400: "Not to be understood, or not supported",
    401: "No API key, or an unknown one",
    403: "Without keys: called by another host's name, or by another site's page",
    404: "No such user, model or task",
    413: "The body is over the limit",
    422: "A field is wrong",
    431: "The headers are over the limit",
    429: "At the limit; see Retry-After",
    500: "A defect; the message holds the request's id",
    503: "The language model or a part of the service is down; see Retry-After",
    504: "The deadline has passed",
}
