"""`/v1/users`: histories, heads, export and deletion of a tenant's own users."""

from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, Field

from hydra_ray.serve.http.body import Body
from hydra_ray.serve.http.disconnect import run_until_disconnect
from hydra_ray.serve.http.errors import documented, user_not_found
from hydra_ray.serve.http.ids import LONGEST_ID, UserIdInPath, checked_text
from hydra_ray.serve.http.route_context import RouteContext, key_of
from hydra_ray.serve.schemas import Export, NewItem, UserInfo

T = TypeVar("T")

ERRORS = documented(401, 404, 422, 429, 500, 503, 504)
Prefix = Annotated[str, AfterValidator(checked_text), Query(max_length=LONGEST_ID, description="of their ids")]


class NewItems(Body):
    """Items to append, oldest first."""

    items: list[NewItem] = Field(min_length=1)


class Users(BaseModel):
    """Users, sorted by id."""

    data: list[UserInfo]


class Deleted(BaseModel):
    """The user is gone: history and heads, confirmed by a read."""

    user_id: str
    deleted: bool = True


def router(front: RouteContext) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["users"], prefix="/v1/users")

    async def read(request: Request, work: Coroutine[Any, Any, T]) -> T:
        return await run_until_disconnect(request.receive, work, front.settings.deadline_s)

    async def change(work: Coroutine[Any, Any, T]) -> T:
        return await front.changes.run(work, front.settings.deadline_s)

    @routes.get("", responses=documented(401, 422, 429, 500, 503, 504))
    async def users(request: Request, prefix: Prefix = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Users:
        """The first users whose ids begin so."""
        return Users(data=await read(request, front.service.users(request.state.tenant, prefix, limit)))

    @routes.get("/{user_id}", responses=ERRORS)
    async def user(request: Request, user_id: UserIdInPath) -> UserInfo:
        """What is known of a user."""
        return _found(await read(request, front.service.user(key_of(request, user_id))), user_id)

    @routes.get("/{user_id}/export", responses=ERRORS)
    async def export(request: Request, user_id: UserIdInPath) -> Export:
        """Everything that is kept of a user."""
        return _found(await read(request, front.service.export(key_of(request, user_id))), user_id)

    @routes.put("/{user_id}/history", responses=documented(400, 401, 413, 422, 429, 500, 503, 504))
    async def append(request: Request, user_id: UserIdInPath, new: NewItems) -> UserInfo:
        """Appends items, durably; the user's very next request sees them."""
        return await change(front.service.append(key_of(request, user_id), new.items))

    @routes.post("/{user_id}/fit", status_code=202, responses=ERRORS)
    async def fit(request: Request, user_id: UserIdInPath) -> UserInfo:
        """Fits or refits the user's heads in the background; `GET` tells how far it is."""
        return _found(await change(front.service.fit(key_of(request, user_id))), user_id)

    @routes.delete("/{user_id}", responses=ERRORS)
    async def delete(request: Request, user_id: UserIdInPath) -> Deleted:
        """Removes history and heads."""
        if not await change(front.service.delete(key_of(request, user_id))):
            raise user_not_found(user_id)
        return Deleted(user_id=user_id)

    return routes


def _found(answer: T | None, user_id: str) -> T:
    if answer is None:
        raise user_not_found(user_id)
    return answer
