"""The requests of one user's fit, answered: some at a time, each for itself, a failed one recorded as missing."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from hydra_ray.inference.types import (
    DeadlineError,
    LLMDownError,
    LLMProtocol,
    LLMResponse,
    OverloadedError,
    RefusedError,
)
from hydra_ray.llm.client import MAX_CONSECUTIVE_FAILURES
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.stage_rows import PromptedRow, R
from hydra_ray.serve.clients.gather import gather_or_cancel


@dataclass(frozen=True, slots=True)
class AnsweredRows(Generic[R]):
    """rows: with the answers to their requests. calls: requests made. missing: those of them without an answer."""

    rows: list[R]
    calls: int
    missing: int


@dataclass(slots=True)
class _Tally:
    """How one fit's requests go. in_a_row: failures of the server with no answer in between."""

    answered: int = 0
    in_a_row: int = 0
    errors: list[Exception] = field(default_factory=list)


class LLMLabeler:
    """Asks the black box for fits. in_flight: requests at a time, of all fits together. request_s: seconds for each."""

    def __init__(self, samples: LLMProtocol, in_flight: int, request_s: float) -> None:
        self._samples = samples
        self._slots = asyncio.Semaphore(in_flight)
        self._request_s = request_s

    async def answer(self, prompted: Sequence[PromptedRow[R]]) -> AnsweredRows[R]:
        """The rows with their answers.

        A failed request leaves no text, as in the main job. Raises its error (LLMDownError, RefusedError,
        DeadlineError) where all failed, or MAX_CONSECUTIVE_FAILURES in a row because of the server: a head fitted
        on the few answers before would be a bad one.
        """
        tally = _Tally()
        flat = [request for one in prompted for request in one.requests]
        texts = iter(await gather_or_cancel(self._one(request, tally) for request in flat))
        if flat and not tally.answered:
            raise tally.errors[0]
        rows = [one.row.answered([next(texts) for _ in one.requests]) for one in prompted]
        return AnsweredRows(rows, len(flat), len(tally.errors))

    async def _one(self, request: Request, tally: _Tally) -> tuple[str, ...]:
        try:
            async with self._slots:
                sampled = await self._sampled(request)
        except RefusedError as error:
            tally.errors.append(error)
        except (LLMDownError, DeadlineError) as error:
            tally.errors.append(error)
            tally.in_a_row += 1
            if tally.in_a_row >= MAX_CONSECUTIVE_FAILURES:
                raise
        else:
            tally.answered += 1
            tally.in_a_row = 0
            return sampled.texts
        return ()

    async def _sampled(self, request: Request) -> LLMResponse:
        """The request's samples; a rate limit is waited for, however long, for a fit may take its time."""
        while True:
            try:
                return await self._samples.sample(request, deadline=time.time() + self._request_s)
            except OverloadedError as error:
                await asyncio.sleep(error.retry_after_s)
