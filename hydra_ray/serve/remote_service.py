"""The gateway's part of the service: `Service` over the other deployments."""

import asyncio
from collections.abc import Mapping, Sequence

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import OverloadedError, PersonalizeRequest, StageDownError, UserKey, UserState
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.clients.deployments import RemoteDeployment
from hydra_ray.serve.clients.llm_readiness import LLMReadiness
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.serve.schemas import Export, HistoryPage, Imported, KeptItem, NewItem, UserInfo
from hydra_ray.serve.state.new_items import NewAnswers, NewDates
from hydra_ray.serve.types import InvalidError, InvalidRowsError, PlainLLM, RowMistake

PROBE_S = 2.0
"""How long a part may take to say that it is there."""


class RemoteService:
    """What the HTTP front asks for, answered by the deployments. See `hydra_ray.serve.service_api.Service`."""

    def __init__(
        self,
        bundle: RunArtifacts,
        inference: InferencePipeline,
        history_server: RemoteDeployment,
        scorer: RemoteDeployment,
        fitter: RemoteDeployment,
        llm: LLMReadiness,
        meters: Meters,
        plain_llm: PlainLLM,
    ) -> None:
        self._bundle = bundle
        self._inference = inference
        self.plain_llm = plain_llm
        self._history_server, self._scorer, self._fitter = history_server, scorer, fitter
        self._llm, self._meters = llm, meters
        self._answers = NewAnswers(bundle.task)
        self._dates = NewDates(bundle.config.data)
        self._notifications: set[asyncio.Task[None]] = set()

    @property
    def run(self) -> str:
        return self._bundle.name

    @property
    def task(self) -> str:
        return self._bundle.task.name

    @property
    def labels(self) -> Sequence[str]:
        return self._bundle.task.labels

    @property
    def created(self) -> int:
        return self._bundle.created

    async def personalize(self, user: UserKey | None, ask: PersonalizeRequest, request_id: str) -> PersonalizedAnswer:
        made = await self._inference.personalize(user, ask, request_id)
        self._meters.answered(made.trace)
        return made

    async def append(self, user: UserKey, items: Sequence[NewItem]) -> UserInfo:
        answers = self._answers.read(items)
        for i, item in enumerate(items):
            if (why := self._dates.problem(item)) is not None:
                raise InvalidError(f"items[{i}].date", why)
        rows = [
            HistoryItem(item.item_id, item.text, item.text if item.corpus is None else item.corpus, answer, date)
            for item, answer, date in zip(items, answers, map(self._dates.read, items), strict=True)
        ]
        return info(user, await self._append(user, rows))

    async def _append(self, user: UserKey, rows: Sequence[HistoryItem]) -> UserState:
        # Appending twice is the same as once: a fitter that dies in between is called again.
        state: UserState = await self._history_server.insist("append", user, rows, affine=user.stored)
        return state

    async def import_rows(self, tenant: str, rows: Mapping[str, Sequence[tuple[int, NewItem]]]) -> Imported:
        problems = [
            RowMistake(number, field, why)
            for numbered in rows.values()
            for number, item in numbered
            for field, why in (("answer", self._answers.problem(item)), ("date", self._dates.problem(item)))
            if why is not None
        ]
        if problems:
            raise InvalidRowsError(sorted(problems))
        for user_id, numbered in rows.items():
            await self.append(UserKey(tenant, user_id), [item for _, item in numbered])
        return Imported(users=len(rows), items=sum(map(len, rows.values())))

    async def history(self, user: UserKey, offset: int, limit: int) -> HistoryPage | None:
        found = await self._history_server.insist("page", user, offset, limit, affine=user.stored)
        if found is None:
            return None
        state, items = found
        after = offset + len(items)
        return HistoryPage(
            user_id=user.user_id,
            data=[shown(item) for item in items],
            total=state.items,
            next=after if items and after < state.items else None,
        )

    async def remove_item(self, user: UserKey, item_id: str) -> bool | None:
        before = await self._history_server.insist("page", user, 0, 0, affine=user.stored)
        if before is None:
            return None
        state, found = await self._history_server.insist("remove_item", user, item_id, affine=user.stored)
        # A history server that dies after it has removed the item is asked again, and then finds none.
        return bool(found or state.items < before[0].items)

    async def user(self, user: UserKey) -> UserInfo | None:
        state: UserState | None = await self._history_server.insist("state", user, affine=user.stored)
        return info(user, state) if state else None

    async def users(self, tenant: str, prefix: str, limit: int) -> list[UserInfo]:
        found = await self._history_server.insist("users", tenant, prefix, limit)
        return [info(user, state) for user, state in found]

    async def fit(self, user: UserKey) -> UserInfo | None:
        state: UserState | None = await self._history_server.insist("queue_fit", user, affine=user.stored)
        if state is None:
            return None
        # The fitter looks for queued users by itself, too: a notification that is lost costs time, no fit.
        notify = asyncio.ensure_future(self._notify(user))
        self._notifications.add(notify)
        notify.add_done_callback(self._notifications.discard)
        return info(user, state)

    async def _notify(self, user: UserKey) -> None:
        try:
            await self._fitter.call("notify", user)
        except (StageDownError, OverloadedError):
            return

    async def delete(self, user: UserKey) -> bool:
        before = await self._history_server.insist("state", user, affine=user.stored)
        # A fitter that dies after it has deleted is called again, and then finds no such user.
        found: bool = await self._fitter.insist("delete_user", user)
        if await self._history_server.insist("state", user, affine=user.stored) is not None:
            raise StageDownError("the user is still there after the deletion; delete once more")
        return found or before is not None

    async def export(self, user: UserKey) -> Export | None:
        found = await self._history_server.insist("whole", user, affine=user.stored)
        if found is None:
            return None
        state, items = found
        heads = await self._fitter.insist("heads", user)
        return Export(
            user=info(user, state),
            items=[shown(item) for item in items],
            heads=heads,
        )

    async def ready(self) -> dict[str, str]:
        parts = {"history_server": self._history_server, "scorer": self._scorer, "fitter": self._fitter}
        states = await asyncio.gather(*(_probe(part) for part in parts.values()), self._llm.state())
        return dict(zip((*parts, "llm"), states, strict=True))


async def _probe(part: RemoteDeployment) -> str:
    try:
        await asyncio.wait_for(part.call("ping"), PROBE_S)
    except (StageDownError, OverloadedError) as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s"
    return "ok"


def shown(item: HistoryItem) -> KeptItem:
    """An item as the API shows it."""
    return KeptItem(item_id=item.item_id, text=item.text, answer=item.answer, corpus=item.corpus, date=item.date)


def info(user: UserKey, state: UserState) -> UserInfo:
    """The state as the API shows it."""
    stale = state.fitted_revision is not None and state.fitted_revision < state.revision
    return UserInfo(
        user_id=user.user_id,
        items=state.items,
        revision=state.revision,
        fit=state.fit,
        stale=stale,
        message=state.message,
    )
