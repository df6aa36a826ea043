"""OpenAI's endpoints: `POST /v1/chat/completions`, `GET /v1/models`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, BeforeValidator
from starlette.responses import Response

from hydra_ray.serve.http.errors import CHAT_PATH, ErrorAnswer, documented
from hydra_ray.serve.http.event_stream import Write, stream
from hydra_ray.serve.http.middleware.raw_path import unescape
from hydra_ray.serve.http.model_name import SUFFIX, parse_model
from hydra_ray.serve.http.plain_answer import DONE, PlainStream, plain_completion, strict_json
from hydra_ray.serve.http.route_context import RouteContext
from hydra_ray.serve.http.schemas.chat_answer import ChatCompletion, completion, events
from hydra_ray.serve.http.schemas.chat_request import ChatRequest
from hydra_ray.serve.http.schemas.plain_request import AnyRequest
from hydra_ray.serve.http.user_of import user_of


class Served(BaseModel):
    """Ours, besides OpenAI's fields. labels: of a closed task. plain: the LLM as it is, without personalisation."""

    run: str
    task: str
    labels: list[str] = []
    plain: bool = False


class Model(BaseModel):
    """A run, as a model. created: when it was trained."""

    id: str
    hydra: Served
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "hydra_ray"


class Models(BaseModel):
    """All there are: the personalised model and the plain one."""

    object: Literal["list"] = "list"
    data: list[Model]


def router(front: RouteContext) -> APIRouter:
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
    async def chat(request: Request, body: AnyRequest) -> Response:
        """Answers the last user message, personally for `user`; `NAME:plain` is the LLM as it is."""
        name = parse_model(body.model, front.service.run)
        user = user_of(
            request,
            front.settings.user_header,
            body.user,
            model_user=name.user,
            safety_identifier=body.safety_identifier,
        )
        if isinstance(body, ChatRequest):
            ask = body.ask()
            if not body.stream:
                made = await front.answer(request, user, ask)
                return Response(completion(made, body.model).model_dump_json(), media_type="application/json")

            async def answer(write: Write) -> None:
                for event in events(await front.answer(request, user, ask), body.model, body.include_usage):
                    write(event)

            return await stream(answer, request.state.request_id)
        shown, parameters = body.shown(), body.parameters()
        if not body.stream:
            tree = await front.forward(request, shown, parameters)
            text = strict_json(plain_completion(tree, body.model, front.service.run))
            return Response(text, media_type="application/json")
        plain = PlainStream(body.model, front.service.run, body.include_usage)

        async def forward(write: Write) -> None:
            await front.forward_stream(request, shown, parameters, lambda tree: plain.write(tree, write))
            write(DONE)

        return await stream(forward, request.state.request_id)

    @routes.get("/v1/models", responses=documented(401, 500, 503))
    async def models() -> Models:
        """The run that is served, personalised and plain."""
        return Models(data=[_model(front, front.service.run + suffix) for suffix in ("", SUFFIX)])

    @routes.get("/v1/models/{model}", responses=documented(401, 404, 422, 500, 503))
    async def model(model: Annotated[str, BeforeValidator(unescape), Path()]) -> Model:
        """The run that is served, by its name."""
        return _model(front, model)

    return routes


def _model(front: RouteContext, name: str) -> Model:
    service = front.service
    plain = parse_model(name, service.run).plain
    served = Served(run=service.run, task=service.task, labels=list(service.labels), plain=plain)
    return Model(id=name, hydra=served, created=service.created)
