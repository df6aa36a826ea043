"""The black box as the service asks it: within a deadline, without cache or budget, and not at all while it is down."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret
from hydra_ray.errors import UserError
from hydra_ray.inference.types import DeadlineError, LLMDownError, LLMResponse, PromptTooLongError, RefusedError
from hydra_ray.llm.caller import BYTES_A_TOKEN
from hydra_ray.llm.calls import PROBE, samples
from hydra_ray.llm.http import ChatHttpClient
from hydra_ray.llm.retry import RejectedError, SuspectError, TooLongError, TransientError, backoff
from hydra_ray.llm.streaming import Take
from hydra_ray.llm.types import CachedResponse, Request, finishes
from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker, CircuitOpenError
from hydra_ray.serve.clients.gather import gather_or_cancel
from hydra_ray.serve.clients.rate_limit import RateLimit

T = TypeVar("T")

Send = Callable[[float], Awaitable[tuple[CachedResponse, T]]]
"""One HTTP request, within so many seconds: what was counted of the answer, and the answer."""

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""A deadline that leaves less than this says nothing about the server when it passes."""
CLOCKS_S = 0.01
"""How far the event loop's clock and the wall clock may disagree on whether a deadline has passed."""
OVERLOADED = 429


class _Size(NamedTuple):
    """Tokens of a request, about, and of its answers at most."""

    prompt: float
    answer: float


@dataclass(slots=True)
class LLMCounts:
    """Since the start. attempts: HTTP requests sent. calls: answered ones. retries: attempts after a failure.
    down, refused, late: `sample`s that ended in LLMDownError, RefusedError, DeadlineError. Tokens as the server
    counted them."""

    attempts: int = 0
    calls: int = 0
    retries: int = 0
    down: int = 0
    refused: int = 0
    late: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class LLMClientAdapter:
    """`hydra_ray.inference.types.LLMProtocol` over an OpenAI-compatible chat server. Belongs to the loop of its first
    call.

    failing, answered_at: whether the last attempt failed through the server or the account, and when the last answer
    came (`time.monotonic`). connections: requests in flight; one more waits, within its deadline. key: default, what
    the environment variable `llm.api_key_env` holds; it appears in no message. The limits of `config` are kept (see
    `hydra_ray.serve.clients.rate_limit`). Raises UserError if the URL or the key cannot be used.
    """

    def __init__(
        self,
        config: LLMConfig,
        base_url: str,
        connections: int,
        *,
        key: Secret | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.counts = LLMCounts()
        self._config = config
        self._endpoint = ChatHttpClient(config, base_url, connections, key)
        self._breaker = breaker or CircuitBreaker()
        self._rate = RateLimit(config)
        self.failing = False
        self.answered_at: float | None = None

    @property
    def up(self) -> bool:
        """Whether the server answered lately, or has not been asked."""
        return self._breaker.closed

    @property
    def attempts(self) -> int:
        """Requests sent so far."""
        return self.counts.attempts

    async def listed(self, timeout_s: float) -> None:
        """Asks the server for its models, which costs nothing. Raises TransientError, UserError."""
        await self._endpoint.models(timeout_s)

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._endpoint.close()

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        """The request's samples. A cancelled caller frees its connections.

        deadline: `time.time()` after which the caller no longer waits. more: further parameters of OpenAI's, sent as
        they are.

        A failure that may pass is tried again, `llm.retries` times at most and only where the pause before ends within
        the deadline. Raises DeadlineError; RefusedError with the server's words; LLMDownError, whose words name no
        address; OverloadedError where the rate limits leave no room before the deadline.
        """
        return await self._counted(self._shortened(request, more or {}, deadline))

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float
    ) -> tuple[dict[str, Any], int]:
        """A whole chat request: the server's own answer, and the tokens that it took. Retries and raises as `sample`
        does; messages and parameters are any that the server takes."""

        async def send(timeout_s: float) -> tuple[CachedResponse, dict[str, Any]]:
            return await self._endpoint.forward(messages, parameters, timeout_s)

        size = _Size(len(json.dumps([*messages])) / BYTES_A_TOKEN, _most_tokens(parameters))
        record, tree, _ = await self._counted(self._call(send, size, deadline))
        return tree, record["prompt_tokens"] + record["completion_tokens"]

    async def forward_stream(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float, take: Take
    ) -> int:
        """`forward`, the answer's chunks as they come; returns the tokens that it took.

        take: gets the chunks, or the whole answer where the server does not stream. Once it has got one, nothing is
        tried again.
        """
        began = False

        def taken(chunk: dict[str, Any]) -> None:
            nonlocal began
            began = True
            take(chunk)

        async def send(timeout_s: float) -> tuple[CachedResponse, None]:
            try:
                return await self._endpoint.forward_stream(messages, parameters, timeout_s, taken), None
            except (TransientError, RejectedError, UserError) as error:
                if not began:
                    raise
                logger.warning("the language model broke its answer off: %s", error)
                if time.time() >= deadline - CLOCKS_S:
                    raise DeadlineError("the language model did not end its answer before the deadline") from None
                raise LLMDownError("it broke its answer off") from None

        size = _Size(len(json.dumps([*messages])) / BYTES_A_TOKEN, _most_tokens(parameters))
        record, _, _ = await self._counted(self._call(send, size, deadline))
        return record["prompt_tokens"] + record["completion_tokens"]

    async def _counted(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except LLMDownError:
            self.counts.down += 1
            raise
        except RefusedError:
            self.counts.refused += 1
            raise
        except DeadlineError:
            self.counts.late += 1
            raise

    async def _shortened(self, request: Request, more: Mapping[str, Any], deadline: float) -> LLMResponse:
        """The samples of the first version of the prompt that is not too long."""
        for level in range(len(request.fallbacks) + 1):
            messages = request.fallbacks[level - 1] if level else request.messages
            try:
                sampled = await self._samples(replace(request, messages=messages, fallbacks=()), more, deadline)
                return replace(sampled, shortened=level)
            except PromptTooLongError:
                if level == len(request.fallbacks):
                    raise
        raise AssertionError("the last version is answered or raises")

    async def _samples(self, request: Request, more: Mapping[str, Any], deadline: float) -> LLMResponse:
        """As many samples in a call as the server gives, the others one by one, all at once.

        Where a call for several fails in a way that may be due to that, one alone shows whether it is. Only a refusal
        shows it for later calls, too: a server's own failure (500) may be of the moment.
        """
        wanted = samples(request)
        native, dialect = self._config.supports_n, self._endpoint.dialect
        whole = wanted == 1 or native is True or (native is None and not dialect.one_by_one)

        async def call(start: int, count: int) -> tuple[CachedResponse, int]:
            async def send(timeout_s: float) -> tuple[CachedResponse, None]:
                try:
                    return (await self._endpoint.chat(request, start, count, timeout_s, more)).record, None
                except (TransientError, RejectedError, SuspectError) as error:
                    failure = error.rejection if isinstance(error, SuspectError) else error
                    if not dialect.may_be_n(self._config, count, failure):
                        raise
                left_s = min(timeout_s, deadline - time.time())
                self.counts.attempts += 1
                record = (await self._endpoint.chat(request, start, 1, left_s, more)).record
                dialect.one_by_one |= isinstance(failure, RejectedError)
                return record, None

            most = self._endpoint.most(request, count)
            size = _Size(most.prompt_tokens / BYTES_A_TOKEN, most.completion_tokens)
            record, _, retries = await self._call(send, size, deadline)
            return record, retries

        first = [await call(0, wanted)] if whole else []
        have = sum(len(record["texts"]) for record, _ in first)
        parts = first + await gather_or_cancel(call(start, 1) for start in range(have, wanted))
        texts: list[str] = []
        cut: list[int] = []
        for record, _ in parts:
            ends = finishes(record)
            cut += [len(texts) + i for i, end in enumerate(ends) if end == "length"]
            # A refusal is no answer, whatever it says.
            texts += ["" if end == "content_filter" else text for text, end in zip(record["texts"], ends, strict=True)]
        if wanted < request.n:  # greedy: all samples are the same one
            texts, cut = texts * request.n, list(range(request.n)) if cut else []
        return LLMResponse(
            tuple(texts),
            sum(record["prompt_tokens"] for record, _ in parts),
            sum(record["completion_tokens"] for record, _ in parts),
            sum(retries for _, retries in parts),
            frozenset(cut),
        )

    async def _call(self, send: Send[T], size: _Size, deadline: float) -> tuple[CachedResponse, T, int]:
        """What `send` returns, and the attempts beyond the first."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._config.retries + 1) | stop_before_delay(deadline - time.time()),
            wait=backoff(self._config.retry_backoff_s),
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                retries = attempt.retry_state.attempt_number - 1
                with attempt:
                    record, answer = await self._attempt(send, size, deadline, retries)
                    return record, answer, retries
        except TransientError as error:
            raise _down(error) from None
        raise AssertionError("tenacity always returns or raises")

    async def _attempt(self, send: Send[T], size: _Size, deadline: float, retries: int) -> tuple[CachedResponse, T]:
        """One attempt, if the circuit lets it out, once the rate limits do."""
        taken, probe = await self._let_out(size, deadline)
        left_s = max(deadline - time.time(), CLOCKS_S)
        self.counts.attempts += 1
        self.counts.retries += retries > 0
        used = size.prompt  # an answer that never comes takes nothing
        try:
            record, answer = await self._unsuspected(send, min(left_s, self._config.timeout_s))
            used = record["prompt_tokens"] + record["completion_tokens"]
        except TransientError as error:
            late = time.time() >= deadline - CLOCKS_S
            self._note(error, probe, fair=not late or left_s >= PATIENCE_S)
            if late:
                raise DeadlineError("the language model did not answer before the deadline") from None
            raise
        except RejectedError as error:
            self._breaker.succeeded()
            refused = PromptTooLongError if isinstance(error, TooLongError) else RefusedError
            raise refused(f"the language model refuses the request: {error}") from None
        except UserError as error:
            self._breaker.failed(probe)
            self.failing = True
            logger.error("%s", error)
            raise LLMDownError("it refuses this service; the service's log says why") from None
        except BaseException:
            self._breaker.abandoned(probe)
            raise
        finally:
            self._rate.settle(taken, used)
        self._breaker.succeeded()
        self.failing, self.answered_at = False, time.monotonic()
        self.counts.calls += 1
        self.counts.prompt_tokens += record["prompt_tokens"]
        self.counts.completion_tokens += record["completion_tokens"]
        return record, answer

    async def _let_out(self, size: _Size, deadline: float) -> tuple[float, bool]:
        """The tokens that an attempt has taken of the rate limits, once it may go out, and whether it is the probe."""
        left_s = deadline - time.time()
        if left_s <= 0:
            raise DeadlineError("the deadline passed before the language model was asked")
        try:
            self._breaker.check()
            taken = await self._rate.take(size.prompt + size.answer, left_s)
            try:
                return taken, self._breaker.admit()
            except CircuitOpenError:
                self._rate.give_back(taken)
                raise
        except CircuitOpenError as error:
            raise LLMDownError(str(error), error.retry_after_s) from None

    async def _unsuspected(self, send: Send[T], timeout_s: float) -> tuple[CachedResponse, T]:
        """What `send` returns. Where its prompt is refused in a way that may concern every prompt, another one shows
        whether it is: one user's refused prompts must not open the circuit for all."""
        try:
            return await send(timeout_s)
        except SuspectError as error:
            self._rate.take_now(PROBE.max_tokens)
            await self._endpoint.chat(PROBE, 0, 1, timeout_s)
            raise error.rejection from None

    def _note(self, error: TransientError, probe: bool, fair: bool) -> None:
        """Tells the breaker what a failed attempt says. fair: the server had time enough."""
        if error.status == OVERLOADED:
            self._breaker.succeeded()
        elif fair:
            self._breaker.failed(probe)
            self.failing = True
        else:
            self._breaker.abandoned(probe)


def _most_tokens(parameters: Mapping[str, Any]) -> int:
    """Tokens of all answers to a forwarded request, at most; where it names no limit, none are known before."""
    most = parameters.get("max_completion_tokens") or parameters.get("max_tokens") or 0
    return int(most) * int(parameters.get("n") or 1)


def _down(error: TransientError) -> LLMDownError:
    """For callers who need not know where the server is, nor what it says of itself."""
    if error.status is not None:
        why = f"HTTP {error.status}"
    elif error.unreachable:
        why = "it cannot be reached"
    else:
        why = "its answers fail to come or cannot be read"
    return LLMDownError(why) if error.retry_after_s is None else LLMDownError(why, error.retry_after_s)
