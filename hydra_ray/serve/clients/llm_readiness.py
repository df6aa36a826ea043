"""Whether the LLM answers, for `/readyz`: from the answers that are made anyway, else from calls that cost next to
nothing, few and shared by all who ask.

answers lately        ok; nothing is asked
answered before       `GET /models`, which is free, at most every FREE_EVERY_S
never, or it failed   the same, and if that works a trial question of a few tokens, at most every TRIAL_EVERY_S: a
                      list of models is no proof of an answer (no such model, no credit)
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from hydra_ray.errors import UserError
from hydra_ray.inference.types import DeadlineError, LLMDownError, LLMResponse, OverloadedError, RefusedError
from hydra_ray.llm.retry import TransientError
from hydra_ray.llm.types import Request

logger = logging.getLogger(__name__)

OK = "ok"
FRESH_S = 10.0
FREE_EVERY_S = 2.0
TRIAL_EVERY_S = 15.0
TRIAL_S = 30.0
"""A trial question's longest time: models on few cores begin slowly."""
WAIT_S = 2.0
"""How long one who asks waits for what is being found out."""
TRIAL = Request(({"role": "user", "content": "Say ok."},), temperature=1.0, max_tokens=16)


class Asks(Protocol):
    """What is needed of `hydra_ray.serve.clients.llm.LLMClientAdapter`."""

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed, through the server or the account rather than one prompt."""

    @property
    def answered_at(self) -> float | None:
        """When the last answer came, on `time.monotonic`; None: none has."""

    @property
    def attempts(self) -> int:
        """Requests for an answer so far."""

    async def listed(self, timeout_s: float) -> None:
        """Asks for the models, for free. Raises TransientError, UserError."""

    async def sample(self, request: Request, *, deadline: float) -> LLMResponse:
        """An answer. Raises LLMDownError, RefusedError, DeadlineError, OverloadedError."""


class LLMReadiness:
    """Belongs to one event loop. clock: seconds."""

    def __init__(self, llm: Asks, clock: Callable[[], float] = time.monotonic) -> None:
        self._llm, self._clock = llm, clock
        self._finding: asyncio.Task[str] | None = None
        self._found, self._found_at = "", float("-inf")
        self._tried, self._tried_at = "", float("-inf")

    async def state(self) -> str:
        """`ok`, or why there would be no answer; within WAIT_S, however many ask."""
        answered = self._llm.answered_at
        if not self._llm.failing and answered is not None and self._clock() - answered < FRESH_S:
            return OK
        if self._finding is None or self._finding.done():
            if self._clock() - self._found_at < FREE_EVERY_S:
                return self._found
            self._finding = asyncio.ensure_future(self._find())
        try:
            return await asyncio.wait_for(asyncio.shield(self._finding), WAIT_S)
        except TimeoutError:
            return "it has not answered yet"

    async def _find(self) -> str:
        try:
            self._found = await self._listed() or await self._trial()
        except Exception as error:  # a probe may fail in any way; the service goes on
            logger.warning("the language model's probe failed: %s", type(error).__name__)
            self._found = f"its probe failed ({type(error).__name__})"
        self._found_at = self._clock()
        return self._found

    async def _listed(self) -> str:
        """Why it cannot be asked at all; empty if it can."""
        try:
            await self._llm.listed(WAIT_S)
        except TransientError as error:
            logger.info("the language model is not ready: %s", error)
            return f"HTTP {error.status}" if error.status is not None else "it cannot be reached"
        except UserError as error:
            logger.error("%s", error)
            return "it refuses this service; the service's log says why"
        return ""

    async def _trial(self) -> str:
        if not self._llm.failing and self._llm.answered_at is not None:
            return OK
        if self._clock() - self._tried_at < TRIAL_EVERY_S:
            return self._tried
        before = self._llm.attempts
        status = await self._ask()
        if self._llm.attempts > before:  # not where the circuit let nothing out
            self._tried, self._tried_at = status, self._clock()
        return status

    async def _ask(self) -> str:
        try:
            await self._llm.sample(TRIAL, deadline=time.time() + TRIAL_S)
        except LLMDownError as error:
            return str(error)
        except DeadlineError:
            return f"no answer to a trial question within {TRIAL_S:g} s"
        except OverloadedError:
            return "its rate limit leaves no room for a trial question"
        except RefusedError as error:
            logger.error("trial question: %s", error)
            return "it refuses a trial question; the service's log says why"
        return OK
