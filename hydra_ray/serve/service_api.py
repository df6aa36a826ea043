"""What the HTTP front needs of the service behind it. The gateway implements it with Ray, tests without."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import PersonalizeRequest, UserKey
from hydra_ray.serve.schemas import Export, HistoryPage, Imported, NewItem, UserInfo
from hydra_ray.serve.types import PlainLLM


class Service(Protocol):
    """All methods may raise OverloadedError, StageDownError and DeadlineError (see `hydra_ray.inference.types`)."""

    @property
    def run(self) -> str:
        """The run's name: the model id of the OpenAI endpoints."""
        ...

    @property
    def task(self) -> str:
        """The run's task."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """The task's, empty where answers are free text."""
        ...

    @property
    def created(self) -> int:
        """When the run was trained, in seconds since 1970."""
        ...

    @property
    def plain_llm(self) -> PlainLLM:
        """What answers requests that are not personalised."""
        ...

    async def personalize(self, user: UserKey | None, ask: PersonalizeRequest, request_id: str) -> PersonalizedAnswer:
        """The answer and its trace. Raises LLMDownError, RefusedError too."""
        ...

    async def append(self, user: UserKey, items: Sequence[NewItem]) -> UserInfo:
        """Adds items, durably, the user too if unknown; the next request sees them.

        Raises InvalidError for an answer that the task cannot have, or a date that is none; nothing is added then.
        """
        ...

    async def import_rows(self, tenant: str, rows: Mapping[str, Sequence[tuple[int, NewItem]]]) -> Imported:
        """Adds items of many users: user id -> (number of the row, item). Once more does no harm.

        Raises InvalidRowsError for all answers that the task cannot have and all dates that are none; nothing is added
        then.
        """
        ...

    async def history(self, user: UserKey, offset: int, limit: int) -> HistoryPage | None:
        """Some of the user's items, oldest first; None: no such user."""
        ...

    async def remove_item(self, user: UserKey, item_id: str) -> bool | None:
        """Removes one item; False: there is none of that id; None: no such user."""
        ...

    async def user(self, user: UserKey) -> UserInfo | None:
        """None: no such user."""
        ...

    async def users(self, tenant: str, prefix: str, limit: int) -> list[UserInfo]:
        """The tenant's users whose id begins so, sorted by id."""
        ...

    async def fit(self, user: UserKey) -> UserInfo | None:
        """Queues a fit of the user's heads; None: no such user."""
        ...

    async def delete(self, user: UserKey) -> bool:
        """Removes history and heads, confirmed by a read; False: no such user."""
        ...

    async def export(self, user: UserKey) -> Export | None:
        """Everything kept of the user; None: no such user."""
        ...

    async def ready(self) -> dict[str, str]:
        """Part -> `ok`, or why it is not."""
        ...
