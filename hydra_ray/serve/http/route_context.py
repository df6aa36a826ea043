"""What all routes share: the service, its limits, and how an answer is asked of it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from hydra_ray.core.token_estimate import estimate_tokens
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import OverloadedError, PersonalizeRequest, UserKey
from hydra_ray.serve.http.disconnect import Unbroken, run_until_disconnect
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.service_api import Service
from hydra_ray.serve.state.usage import UsageStore

GRACE_S = 0.5
"""Beyond the deadline, for a service that keeps deadlines itself and may have something to say at its end."""


@dataclass(frozen=True)
class HttpSettings:
    """The front's limits (see `hydra_ray.serve.config.GatewayConfig`) and who may come in.

    echo_id: whether answers carry `x-request-id`; False behind a proxy that adds it itself, as Ray Serve's does.
    key_file: of `keys`, read again while the service runs (None: they stay). read_keys: reads the keys of a store, of
    which there are no others then (None: `keys` count). usage: keeps what keys have been used
    for (None: it is forgotten). allowed_hosts: names that a service without keys may be called by besides
    those of loopback. user_header: a header that names the user, set by an application that is trusted (None: none is).
    traces: whether requests have spans (see `hydra_ray.utils.tracing`).
    """

    body_bytes: int
    in_flight: int
    retry_after_s: float
    deadline_s: float
    keys: Keys
    echo_id: bool = True
    key_file: str | None = None
    read_keys: Callable[[], Keys] | None = None
    usage: UsageStore | None = None
    allowed_hosts: tuple[str, ...] = ()
    user_header: str | None = None
    traces: bool = False


class ConcurrencyLimiter:
    """Room for answers being made. One more than `most` is refused at once instead of queued."""

    def __init__(self, most: int, retry_after_s: float) -> None:
        self._most, self._retry_after_s = most, retry_after_s
        self.taken = 0

    def check(self) -> None:
        """Raises OverloadedError if no slot is free."""
        if self.taken >= self._most:
            raise OverloadedError(self._retry_after_s)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A slot while the context lasts. Raises OverloadedError if there is none."""
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class RouteContext:
    """The routes' access to the service. Made where it is used: it belongs to one process."""

    def __init__(self, get_service: Callable[[], Service], settings: HttpSettings) -> None:
        self._get_service, self.settings = get_service, settings
        self.slots = ConcurrencyLimiter(settings.in_flight, settings.retry_after_s)
        self.changes = Unbroken()

    @property
    def service(self) -> Service:
        """The service, asked for anew each time."""
        return self._get_service()

    async def answer(
        self, request: Request, user_id: str | None, ask: PersonalizeRequest, seconds: float | None = None
    ) -> PersonalizedAnswer:
        """The answer to `ask` for a user of the request's tenant, within `seconds` and the settings' deadline.

        Raises OverloadedError at once if too many are being made, DeadlineError, ClientGoneError, and the service's.
        """
        allowed = min(self.settings.deadline_s, seconds or self.settings.deadline_s)
        user = None if user_id is None else key_of(request, user_id)
        with self.slots.one():
            work = self.service.personalize(
                user, replace(ask, deadline=time.time() + allowed), request.state.request_id
            )
            made = await run_until_disconnect(request.receive, work, allowed + GRACE_S)
        request.state.tokens += (made.trace.prompt.tokens or 0) + made.trace.llm_tokens
        request.state.degraded = [degraded.reason for degraded in made.trace.degraded]
        return made

    async def forward(
        self, request: Request, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The LLM's own answer to a chat request. Raises as `answer` does."""
        allowed = self.settings.deadline_s
        with self.slots.one():
            work = self.service.plain_llm.forward(messages, parameters, time.time() + allowed)
            tree, tokens = await run_until_disconnect(request.receive, work, allowed + GRACE_S)
        request.state.tokens += tokens
        return tree

    async def forward_stream(
        self,
        request: Request,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        take: Callable[[dict[str, Any]], None],
    ) -> None:
        """`forward`, whose chunks go to `take` as they come. Raises as `answer` does, after chunks, too.

        A stream that ends early has no count of tokens: its prompt is estimated, and a chunk counts as one token.
        """
        allowed = self.settings.deadline_s
        chunks = 0

        def taken(chunk: dict[str, Any]) -> None:
            nonlocal chunks
            chunks += 1
            take(chunk)

        with self.slots.one():
            work = self.service.plain_llm.forward_stream(messages, parameters, time.time() + allowed, taken)
            try:
                request.state.tokens += await run_until_disconnect(request.receive, work, allowed + GRACE_S)
            except BaseException:
                if chunks:
                    request.state.tokens += estimate_tokens(json.dumps([*messages], ensure_ascii=False)) + chunks
                raise


def key_of(request: Request, user_id: str) -> UserKey:
    """The user of the request's own tenant: the only place where one is made."""
    return UserKey(request.state.tenant, user_id)
