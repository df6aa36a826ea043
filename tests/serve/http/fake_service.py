"""A service in this process: real state, answers that tell what they were made from, and failures on demand."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra_ray.inference.trace import Degraded, PersonalizedAnswer, Trace, TraceCandidate, TracePrompt, TraceVersions
from hydra_ray.inference.types import PersonalizeRequest, UserKey
from hydra_ray.serve.schemas import Export, HistoryPage, Imported, KeptItem, NewItem, UserInfo
from hydra_ray.serve.types import InvalidRowsError, RowMistake


class FakeService:
    """error: what every call raises. late_error: likewise, after the gate. gate: what every call waits for.
    running: answers being made now."""

    run = "made-up"
    task = "synthetic_tagging"
    labels = ("ember", "dune")
    created = 1_700_000_000

    def __init__(self) -> None:
        self.histories: dict[str, dict[str, NewItem]] = {}
        self.requests: list[tuple[UserKey | None, PersonalizeRequest, str]] = []
        self.forwarded: list[tuple[list[Mapping[str, Any]], dict[str, Any]]] = []
        self.error: Exception | None = None
        self.late_error: Exception | None = None
        self.gate: threading.Event | None = None
        self.running = 0
        self.cancelled = 0
        self.parts = {"history_server": "ok", "scorer": "ok"}

    async def _pass(self) -> None:
        if self.error is not None:
            raise self.error
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)
        if self.late_error is not None:
            raise self.late_error

    async def personalize(self, user: UserKey | None, ask: PersonalizeRequest, request_id: str) -> PersonalizedAnswer:
        self.requests.append((user, ask, request_id))
        self.running += 1
        try:
            await self._pass()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        known = user is not None and user.stored in self.histories
        items = self.histories[user.stored] if user is not None and known else {}
        answers = [f"{','.join(items) or 'nobody'}: {ask.query} /{i}" for i in range(ask.n)]
        trace = Trace(
            request_id=request_id,
            user_id=user.user_id if user else None,
            task=self.task,
            items=len(items),
            prompt=TracePrompt(words=5, tokens=7, examples=0),
            candidates=[TraceCandidate(text=text, votes=1, own=False) for text in answers],
            versions=TraceVersions(run=self.run, hydra_ray="0"),
            ms={"total": 1.0},
            llm_tokens=2 * ask.n,
            degraded=[] if known else [Degraded(reason="user_unknown" if user else "no_user")],
        )
        return PersonalizedAnswer(
            answer=answers[0],
            answers=answers,
            cut=[0] if ask.max_tokens == 1 else [],
            plain="plain" if ask.plain else None,
            trace=trace,
        )

    @property
    def plain_llm(self) -> "FakeService":
        """Itself."""
        return self

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float
    ) -> tuple[dict[str, Any], int]:
        self.forwarded.append((list(messages), dict(parameters)))
        await self._pass()
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        calls = parameters.get("tools") and {"content": None, "tool_calls": [call]}
        message = {"role": "assistant", **(calls or {"content": f"said: {messages[-1]['content']}"})}
        logprobs = {"content": [{"token": "said", "logprob": -0.5, "top_logprobs": []}]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop",
                  "logprobs": logprobs if parameters.get("logprobs") else None}  # fmt: skip
        usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        return {"id": "theirs", "created": 5, "model": "theirs", "choices": [choice], "usage": usage}, 6

    async def forward_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        deadline: float,
        take: Callable[[dict[str, Any]], None],
    ) -> int:
        """Two chunks, the gate between them, and the tokens; with tools the whole answer at once."""
        if self.error is not None:
            raise self.error
        if parameters.get("tools"):
            tree, tokens = await self.forward(messages, parameters, deadline)
            take(tree)
            return tokens
        self.forwarded.append((list(messages), dict(parameters)))
        for content, end in (("said: ", None), (str(messages[-1]["content"]), "stop")):
            choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": end}
            take({"id": "theirs", "created": 5, "model": "theirs", "choices": [choice], "usage": None})
            await self._pass()
        usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        take({"id": "theirs", "created": 5, "model": "theirs", "choices": [], "usage": usage})
        return 6

    async def append(self, user: UserKey, items: Sequence[NewItem]) -> UserInfo:
        await self._pass()
        self.histories.setdefault(user.stored, {}).update({item.item_id: item for item in items})
        return self._info(user.stored)

    async def import_rows(self, tenant: str, rows: Mapping[str, Sequence[tuple[int, NewItem]]]) -> Imported:
        numbered = [pair for of_user in rows.values() for pair in of_user]
        wrong = [RowMistake(number, "answer", "is no answer") for number, item in numbered if item.answer == "?"]
        if wrong:
            raise InvalidRowsError(wrong)
        for user_id, numbered in rows.items():
            await self.append(UserKey(tenant, user_id), [item for _, item in numbered])
        return Imported(users=len(rows), items=sum(map(len, rows.values())))

    async def history(self, user: UserKey, offset: int, limit: int) -> HistoryPage | None:
        await self._pass()
        if user.stored not in self.histories:
            return None
        items: list[KeptItem] = list(self.histories[user.stored].values())
        end = offset + limit
        following = end if end < len(items) else None
        return HistoryPage(user_id=user.user_id, data=items[offset:end], total=len(items), next=following)

    async def remove_item(self, user: UserKey, item_id: str) -> bool | None:
        await self._pass()
        items = self.histories.get(user.stored)
        return None if items is None else items.pop(item_id, None) is not None

    async def user(self, user: UserKey) -> UserInfo | None:
        await self._pass()
        return self._info(user.stored) if user.stored in self.histories else None

    async def users(self, tenant: str, prefix: str, limit: int) -> list[UserInfo]:
        await self._pass()
        wanted = UserKey(tenant, prefix).stored
        return [self._info(stored) for stored in sorted(self.histories) if stored.startswith(wanted)][:limit]

    async def fit(self, user: UserKey) -> UserInfo | None:
        return await self.user(user)

    async def delete(self, user: UserKey) -> bool:
        await self._pass()
        return self.histories.pop(user.stored, None) is not None

    async def export(self, user: UserKey) -> Export | None:
        info = await self.user(user)
        items: list[KeptItem] = list(self.histories.get(user.stored, {}).values())
        return None if info is None else Export(user=info, items=items, heads={"reranker": None, "adapter": None})

    async def ready(self) -> dict[str, str]:
        return self.parts

    def _info(self, stored: str) -> UserInfo:
        items = self.histories[stored]
        user_id = UserKey.of_stored(stored).user_id
        return UserInfo(user_id=user_id, items=len(items), revision=1, fit="never", stale=True)
