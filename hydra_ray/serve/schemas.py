"""A user and what is kept of one, as JSON: `/v1/users` and what is below it."""

from typing import Literal

from pydantic import BaseModel, Field


class UserInfo(BaseModel):
    """What `GET /v1/users/{id}` says. fit: see `hydra_ray.inference.types.FitState`. stale: there are newer items
    than those the heads were fitted on."""

    user_id: str
    items: int
    revision: int
    fit: Literal["never", "imported", "queued", "running", "done", "failed"]
    stale: bool
    message: str = ""


class KeptItem(BaseModel):
    """An item of a user's history, of any length: a run's own items meet no limits."""

    item_id: str
    text: str
    answer: str = ""
    corpus: str | None = None
    date: str = ""


class NewItem(KeptItem):
    """An item to append. item_id: unique for the user; a known one is replaced in its place. answer: one of the
    task's labels, in any spelling that the main job reads, free text for generation; or empty. date: in a form that the
    main job reads (ISO 8601 in UTC is what is kept), or empty."""

    model_config = {"extra": "forbid"}

    item_id: str = Field(min_length=1, max_length=256)
    text: str = Field(max_length=100_000)
    answer: str = Field(default="", max_length=20_000)
    corpus: str | None = Field(default=None, max_length=100_000, description="what retrieval searches; default: text")
    date: str = Field(default="", max_length=64)


class HistoryPage(BaseModel):
    """Some of a user's items, oldest first. total: how many there are. next: offset of the next page, null: none."""

    user_id: str
    data: list[KeptItem]
    total: int
    next: int | None = None


class Imported(BaseModel):
    """What an import has done: users and items that it named."""

    users: int
    items: int


class Export(BaseModel):
    """Everything that is kept of a user."""

    user: UserInfo
    items: list[KeptItem]
    heads: dict[str, dict[str, list[float]] | None]
