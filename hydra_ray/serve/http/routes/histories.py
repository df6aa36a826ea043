"""`/v1/users/ID/history`, `/v1/users/ID/feedback`, `/v1/import`: items, one by one and in bulk."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from hydra_ray.core.hashing import stable_hash
from hydra_ray.serve.http.body import Body
from hydra_ray.serve.http.disconnect import run_until_disconnect
from hydra_ray.serve.http.errors import ApiError, documented, user_not_found
from hydra_ray.serve.http.ids import UserIdInPath
from hydra_ray.serve.http.import_rows import read_rows
from hydra_ray.serve.http.middleware.raw_path import unescape
from hydra_ray.serve.http.route_context import RouteContext, key_of
from hydra_ray.serve.schemas import HistoryPage, Imported, NewItem, UserInfo
from hydra_ray.serve.types import InvalidError

T = TypeVar("T")

ItemIdInPath = Annotated[str, BeforeValidator(unescape), Path(max_length=256, description="percent-encoded UTF-8")]


class Feedback(Body):
    """What the user thinks of an answer. query: what was asked. answer: what was answered. right: whether that is what
    the user would have answered. right_answer: what is, where it was not."""

    query: str = Field(min_length=1, max_length=100_000)
    answer: str = Field(default="", max_length=20_000)
    right: bool
    right_answer: str | None = Field(default=None, min_length=1, max_length=20_000)

    @model_validator(mode="after")
    def _says_something(self) -> "Feedback":
        if self.right and not self.answer.strip():
            raise ValueError("`right` is true: `answer` must be the answer that was right")
        if self.right and self.right_answer is not None and self.right_answer != self.answer:
            raise ValueError("`right` is true, yet `right_answer` is another one than `answer`: leave one out")
        if not self.right and self.right_answer is None:
            raise ValueError("`right` is false: give `right_answer`; a wrong answer alone is no history")
        return self

    def item(self) -> NewItem:
        """The item that it becomes: the question with the right answer. A question has one: the newest."""
        answer = self.answer if self.right else self.right_answer or ""
        item_id = f"feedback-{stable_hash('feedback', self.query).hex()}"
        return NewItem(item_id=item_id, text=self.query, answer=answer, date=datetime.now(UTC).date().isoformat())


class FeedbackTaken(BaseModel):
    """item_id: of the item that the feedback has become."""

    item_id: str
    user: UserInfo


class ItemDeleted(BaseModel):
    """The item is gone."""

    user_id: str
    item_id: str
    deleted: bool = True


def router(front: RouteContext) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["users"])
    errors = documented(401, 404, 422, 429, 500, 503, 504)

    async def change(work: Coroutine[Any, Any, T]) -> T:
        return await front.changes.run(work, front.settings.deadline_s)

    @routes.get("/v1/users/{user_id}/history", responses=errors)
    async def history(
        request: Request,
        user_id: UserIdInPath,
        offset: Annotated[int, Query(ge=0, le=2**32)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> HistoryPage:
        """The user's items, oldest first, a page at a time: `next` is the next page's `offset`."""
        work = front.service.history(key_of(request, user_id), offset, limit)
        found = await run_until_disconnect(request.receive, work, front.settings.deadline_s)
        if found is None:
            raise user_not_found(user_id)
        return found

    @routes.delete("/v1/users/{user_id}/history/{item_id}", responses=errors)
    async def remove(request: Request, user_id: UserIdInPath, item_id: ItemIdInPath) -> ItemDeleted:
        """Removes one item; the user's very next request does without it. Heads stay until the next fit."""
        found = await change(front.service.remove_item(key_of(request, user_id), item_id))
        if found is None:
            raise user_not_found(user_id)
        if not found:
            raise ApiError(404, f"user {user_id!r} has no item {item_id!r}", code="item_not_found")
        return ItemDeleted(user_id=user_id, item_id=item_id)

    @routes.post("/v1/users/{user_id}/feedback", responses=documented(400, 401, 413, 422, 429, 500, 503, 504))
    async def feedback(request: Request, user_id: UserIdInPath, body: Feedback) -> FeedbackTaken:
        """This answer was right, or the right one is another: becomes an item of the user's history."""
        item = body.item()
        try:
            user = await change(front.service.append(key_of(request, user_id), [item]))
        except InvalidError as error:
            raise InvalidError("answer" if body.right else "right_answer", error.why) from None
        return FeedbackTaken(item_id=item.item_id, user=user)

    @routes.post(
        "/v1/import",
        responses=documented(400, 401, 413, 422, 429, 500, 503, 504),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/x-ndjson": {}, "application/json": {}}}
        },
    )
    async def import_rows(request: Request) -> Imported:
        """Items of many users: a JSON array, or one JSON object a line, each with `user_id` and an item's fields
        (`item_id` may be left out). All mistakes are reported together, and nothing is imported then."""
        rows = read_rows(await request.body())
        return await change(front.service.import_rows(request.state.tenant, rows))

    return routes
