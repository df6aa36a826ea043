"""`POST /v1/personalize`: the answer with its trace."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import PersonalizeRequest
from hydra_ray.serve.http.body import Body, Count, MaxTokens, Seed, Temperature
from hydra_ray.serve.http.errors import ApiError, documented
from hydra_ray.serve.http.ids import UserId
from hydra_ray.serve.http.route_context import RouteContext
from hydra_ray.serve.http.user_of import user_of

PERSONALIZE_PATH = "/v1/personalize"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class Options(BaseModel):
    """plain: also the answer without personalisation. deadline_s: shorter than the service's own. The rest: as in
    OpenAI's endpoint; what is left out is as in the run."""

    model_config = ConfigDict(strict=True, extra="forbid")

    n: Count = 1
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None
    seed: Seed | None = None
    plain: bool = False
    deadline_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None


class PersonalizeBody(Body):
    """user_id: null for an unknown one. task: the run's, which is also the default."""

    user_id: UserId | None = None
    task: str | None = None
    query: Annotated[str, AfterValidator(_not_blank), Field(min_length=1, json_schema_extra={"pattern": r"\S"})]
    options: Options = Options()


def router(front: RouteContext) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["personalised answers"])

    @routes.post(PERSONALIZE_PATH, responses=documented(400, 401, 404, 413, 422, 429, 500, 503, 504))
    async def personalize(request: Request, body: PersonalizeBody) -> PersonalizedAnswer:
        """The answer and how it came about."""
        task, options = front.service.task, body.options
        if body.task not in {None, task}:
            raise ApiError(404, f"no task {body.task!r} here; known: {task}", param="task", code="task_not_found")
        ask = PersonalizeRequest(
            query=body.query,
            n=options.n,
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            seed=options.seed,
            plain=options.plain,
        )
        user = user_of(request, front.settings.user_header, body.user_id, param="user_id")
        return await front.answer(request, user, ask, options.deadline_s)

    return routes
