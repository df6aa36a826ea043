"""OpenAI's endpoints: `POST /v1/chat/completions`, `GET /v1/models`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator
from starlette.responses import Response

from hydra_ray.serve.http.chat_answer import ChatCompletion, completion, events
from hydra_ray.serve.http.chat_request import ChatRequest
from hydra_ray.serve.http.errors import CHAT_PATH, ErrorAnswer, ProblemError, documented
from hydra_ray.serve.http.front import Front
from hydra_ray.serve.http.paths import unescape


class Served(BaseModel):
    """Ours, beside OpenAI's fields."""

    run: str
    task: str


class Model(BaseModel):
    """A run, as a model."""

    id: str
    hydra: Served
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "hydra_ray"


class Models(BaseModel):
    """All there are: one."""

    object: Literal["list"] = "list"
    data: list[Model]


def router(front: Front) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["OpenAI"])

    @routes.post(
        CHAT_PATH,
        response_model=ChatCompletion,
        responses={
            **documented(400, 401, 404, 413, 429, 500, 503, 504),
            "4XX": {"model": ErrorAnswer},
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
    )
    async def chat(request: Request, asked: ChatRequest) -> Response:
        """Answers the last user message, personally for `user`."""
        run = _known(asked.model, front)
        made = await front.answer(request, asked.user, asked.ask())
        if asked.stream:
            include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
            return StreamingResponse(events(made, run, include_usage), media_type="text/event-stream")
        return Response(completion(made, run).model_dump_json(), media_type="application/json")

    @routes.get("/v1/models", responses=documented(401, 500, 503))
    async def models() -> Models:
        """The run that is served."""
        return Models(data=[_model(front)])

    @routes.get("/v1/models/{model}", responses=documented(401, 404, 422, 500, 503))
    async def model(model: Annotated[str, BeforeValidator(unescape), Path()]) -> Model:
        """The run that is served, by its name."""
        _known(model, front)
        return _model(front)

    return routes


def _model(front: Front) -> Model:
    service = front.service
    return Model(id=service.run, hydra=Served(run=service.run, task=service.task))


def _known(model: str, front: Front) -> str:
    run = front.service.run
    if model != run:
        raise ProblemError(404, f"no model {model!r} here; use {run!r}", param="model", code="model_not_found")
    return run
