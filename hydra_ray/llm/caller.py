"""One call until it is answered or given up: budget, rate limits, retries, shorter prompts."""

import asyncio
import random

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.calls import LLMCall
from hydra_ray.llm.endpoint import Endpoint
from hydra_ray.llm.ledger_batcher import LedgerBatcher, RateLimitedError
from hydra_ray.llm.rate_headers import Rates
from hydra_ray.llm.rate_limits import MOST_REFUSALS
from hydra_ray.llm.response_cache import CallOutcome
from hydra_ray.llm.response_parsing import Usage, empty_record
from hydra_ray.llm.retry import (
    MOST_PATIENCE,
    EmptyAnswerError,
    RejectedError,
    TooLongError,
    TransientError,
    pause_before,
)
from hydra_ray.llm.types import CachedResponse, call_key

MOST_WAITS = 30
"""Refusals of one call for rate limits, while others are answered, before it counts as failed."""
BYTES_A_TOKEN = 3.0
"""Of a prompt, about, for rate limits: what a call really took is known when it is answered."""


class StoppedError(Exception):
    """The call was not made: another one has failed for good."""


class Caller:
    """Makes calls for one client. identity: of the model, for the cache's keys."""

    def __init__(self, cfg: LLMConfig, endpoint: Endpoint, books: LedgerBatcher, identity: str) -> None:
        self._cfg, self._endpoint, self._books, self._identity = cfg, endpoint, books, identity
        self._last_refusal = "HTTP 429"

    async def record(self, call: LLMCall, stop: asyncio.Event) -> CachedResponse:
        """What the call returns, noted in the ledger. No attempt begins after `stop` is set.

        A failure that may pass is tried again `llm.retries` times, after a timeout with more time; waiting for a rate
        limit is no attempt. A prompt that is too long is asked in the next of its shorter versions; the answer is kept
        under the request itself.
        Raises TransientError, RejectedError, UserError, BudgetReachedError, StoppedError.
        """
        job, attempts, failures, refusals, patience = call.job, 0, 0, 0, 1
        while True:
            level = job.level
            request = job.shown(level)
            usage = self._endpoint.most(request, call.count)
            most = self._cost(usage)
            size = usage.prompt_tokens / BYTES_A_TOKEN + usage.completion_tokens
            reservation = await self._reserve(most, size, stop)
            last = CallOutcome(reservation, calls=1, cost=most)
            try:
                reply = await self._endpoint.chat(
                    request, call.start, call.count, None if patience == 1 else patience * self._cfg.timeout_s
                )
                last = self._kept(call, reservation, reply.record, level, attempts, reply.rates)
                return reply.record
            except TooLongError as error:
                last = CallOutcome(reservation, retries=attempts, failed=1)
                if not job.shorten(level):
                    raise _no_shorter(error, len(request.fallbacks)) from None
                last = CallOutcome(reservation)
                continue
            except TransientError as error:
                failures, refusals = failures + (not error.limited), refusals + error.limited
                over = failures > self._cfg.retries or refusals > MOST_WAITS
                if error.timed_out:
                    patience = min(2 * patience, MOST_PATIENCE)
                if over and isinstance(error, EmptyAnswerError):
                    record = empty_record(call.count, usage)
                    last = self._kept(call, reservation, record, level, attempts, None)
                    return record
                last = self._failed(reservation, error, most, attempts if over else 0, over)
                if over:
                    raise
                pause_s = 0.0
                if not error.limited:  # else the ledger holds all calls back
                    pause_s = pause_before(failures, self._cfg.retry_backoff_s, error.retry_after_s, random.random())
            except (RejectedError, UserError):
                last = CallOutcome(reservation, retries=attempts, failed=1)
                raise
            finally:
                self._books.settle(last)
            attempts += 1
            await _sleep(pause_s, stop)

    def _kept(
        self, call: LLMCall, reservation: int, record: CachedResponse, level: int, retries: int, rates: Rates | None
    ) -> CallOutcome:
        """The note of an answer."""
        if level:
            record["degraded"] = True
        key = call_key(self._identity, call.job.request, call.start, call.count)
        cost = self._cost(Usage(record["prompt_tokens"], record["completion_tokens"]))
        return CallOutcome(reservation, key, record, calls=1, cost=cost, retries=retries, rates=rates)

    def _failed(self, reservation: int, error: TransientError, most: float, retries: int, over: bool) -> CallOutcome:
        """The note of a failed attempt. over: it was the last."""
        rates = error.rates
        if error.limited:
            self._last_refusal = str(error)
            rates = (rates or Rates())._replace(pause_s=error.retry_after_s or 0.0, backoff_s=self._cfg.retry_backoff_s)
        billed = error.maybe_billed
        return CallOutcome(
            reservation, calls=int(billed), cost=most * billed, retries=retries, failed=int(over), rates=rates
        )

    async def _reserve(self, most: float, tokens: float, stop: asyncio.Event) -> int:
        """A reservation, unless `stop` is set first."""
        wish = asyncio.ensure_future(self._books.reserve(most, tokens))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({wish, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not wish.done():
                raise StoppedError
            reservation = wish.result()
            if stop.is_set():
                self._books.abandon(reservation)
                raise StoppedError
            return reservation
        except asyncio.CancelledError:
            if wish.done() and not wish.cancelled() and wish.exception() is None:
                self._books.abandon(wish.result())
            raise
        except RateLimitedError:
            raise UserError(
                f"{self._endpoint.where}: still refused after {MOST_REFUSALS - 1} pauses, each longer than the last "
                f"({self._last_refusal}): lower llm.concurrency, set llm.requests_per_minute or llm.tokens_per_minute, "
                "and run again; everything answered so far is kept"
            ) from None
        finally:
            wish.cancel()
            stopped.cancel()

    def _cost(self, usage: Usage) -> float:
        prices = self._cfg.price_prompt, self._cfg.price_completion
        return (usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]) / 1e6


def _no_shorter(error: TooLongError, versions: int) -> RejectedError:
    return RejectedError(f"{error} (and so are {versions} shorter versions)") if versions else error


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    """Sleeps, but ends early with StoppedError once no further call is wanted."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
    raise StoppedError
