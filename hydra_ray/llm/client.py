"""The client: requests in, answers out, in order; cached, within the budget, `llm.concurrency` at a time."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret
from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.caller import Caller, StoppedError
from hydra_ray.llm.calls import PROBE, CallGroup, LLMCall, samples
from hydra_ray.llm.endpoint import Endpoint
from hydra_ray.llm.event_loop import EventLoopThread
from hydra_ray.llm.http import ChatHttpClient
from hydra_ray.llm.ledger_batcher import LedgerBatcher
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.response_cache_ports import LocalPort, ResponseCachePort
from hydra_ray.llm.retry import RejectedError, SuspectError, TransientError, backoff
from hydra_ray.llm.types import Completion, Request, call_key

# This many requests in a row given up, with none answered in between, and the server is taken to be out of order.
MAX_CONSECUTIVE_FAILURES = 8


class LLMClient:
    """An asynchronous client for one model; `complete_sync` is for synchronous code.

    ledger: where answers are kept and counted: a `ResponseCache`, or a port to the actor. base_url: overrides
    `llm.base_url` (the address of the model that the run serves itself). identity: overrides the model's identity.
    concurrency: requests in flight, default `llm.concurrency`. use_cache: False asks again every time (benchmarks).
    key: default, what this process's environment holds (a worker on another node may hold none); see
    `hydra_ray.llm.access`. endpoint: what answers, instead of a server.
    Raises UserError if there is no address, or key or address cannot be used.
    """

    def __init__(
        self,
        cfg: LLMConfig,
        ledger: ResponseCache | ResponseCachePort,
        *,
        base_url: str | None = None,
        identity: str | None = None,
        concurrency: int | None = None,
        use_cache: bool = True,
        key: Secret | None = None,
        endpoint: Endpoint | None = None,
    ) -> None:
        url = base_url or cfg.base_url
        if url is None and endpoint is None:
            raise UserError("llm.base_url: not set and no model is served: give the address of a chat server")
        self._cfg = cfg
        self._identity = identity if identity is not None else model_identity(cfg)
        self._concurrency = concurrency or cfg.concurrency
        self._use_cache = use_cache
        if isinstance(ledger, ResponseCache):
            ledger.limits.configure(cfg.requests_per_minute, cfg.tokens_per_minute)
        self._port: ResponseCachePort = LocalPort(ledger) if isinstance(ledger, ResponseCache) else ledger
        self._endpoint: Endpoint = endpoint or ChatHttpClient(cfg, url or "", self._concurrency, key)
        self._books = LedgerBatcher(self._port)
        self._caller = Caller(cfg, self._endpoint, self._books, self._identity)
        self._probing = asyncio.Lock()
        self._slots = asyncio.Semaphore(self._concurrency)
        self._given_up = 0  # in a row
        self._answered = False  # ever
        self._loop_thread: EventLoopThread | None = None

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """The answers in the order of `requests`; what is cached is not paid again, equal requests are paid once.

        A request that the server refuses (`Answer.permanent`) or that fails after all retries comes back with
        `Answer.error`; it shifts no other. Raises BudgetReachedError, or UserError where nothing would be answered
        (key, address, server out of order), both only after the calls in flight have ended and everything answered is
        on disk.
        """
        answers, over = await self.complete_affordable(requests)
        if over is not None:
            raise over
        return [answer for answer in answers if answer is not None]

    async def complete_affordable(
        self, requests: Sequence[Request]
    ) -> tuple[list[Completion | None], BudgetReachedError | None]:
        """`complete`, but a reached budget is returned along with the answers; None stands for each that it left open.

        Of equal requests only the first counts as paid.
        """
        jobs: dict[str, CallGroup] = {}
        keys = [call_key(self._identity, request, 0, samples(request)) for request in requests]
        for key, request in zip(keys, requests, strict=True):
            if key in jobs:
                jobs[key].copies += 1
            else:
                jobs[key] = CallGroup(request)
        over = None
        try:
            await self._run(deque(await self._plan(list(jobs.values()))))
            await self._check_refusals(list(jobs.values()))
        except BudgetReachedError as error:
            over = error
            if self._endpoint.dialect.refused_in_row:  # nothing is left to find out whether all would be refused
                for job in jobs.values():
                    job.rejected &= job.suspicion is None
        finally:
            await asyncio.shield(self._books.flush())
        self._check_hopeless([job for job in jobs.values() if job.paid or job.error])
        answers: list[Completion | None] = []
        given: set[str] = set()
        for key, request in zip(keys, requests, strict=True):
            answer = jobs[key].answer(request.n) if not jobs[key].open_calls else None
            if answer is not None and key in given and answer.error is None:
                answer = replace(answer, cached=True)
            given.add(key)
            answers.append(answer)
        return answers, over

    @property
    def one_by_one(self) -> bool:
        """Whether the server has been found to give one sample a call, however many are asked for."""
        return self._endpoint.dialect.one_by_one

    def complete_sync(self, requests: Sequence[Request]) -> list[Completion]:
        """`complete`, on a background loop of this client's own."""
        return self._thread().run(self.complete(requests))

    async def check(self) -> None:
        """Finds out before the run whether the server answers: lists its models, or else asks for one token. A failure
        that may pass is tried again as a call's is, but for no server and for one that says nothing.

        Raises UserError with what to check.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._cfg.retries + 1),
            wait=backoff(self._cfg.retry_backoff_s),
            retry=retry_if_exception(_may_pass_soon),
            reraise=True,
        )
        try:
            models: list[str] | None = await retrying(self._endpoint.models)
        except TransientError as error:
            raise UserError(f"llm.base_url: {error}: is the server running and the address right?") from None
        if models is None or self._cfg.model not in models:
            (answer,) = await self.complete([PROBE])
            if answer.error is not None:
                raise UserError(f"{self._endpoint.where}: does not answer: {answer.error}")

    def check_sync(self) -> None:
        """`check`, on the background loop."""
        self._thread().run(self.check())

    async def close(self) -> None:
        """Notes what is left and closes the connections."""
        try:
            await self._books.flush()
        finally:
            await self._endpoint.close()

    def close_sync(self) -> None:
        """`close`, and ends the background loop."""
        if self._loop_thread is not None:
            self._loop_thread.run(self.close())
            self._loop_thread.close()
            self._loop_thread = None

    async def __aenter__(self) -> "LLMClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _thread(self) -> EventLoopThread:
        if self._loop_thread is None:
            self._loop_thread = EventLoopThread()
        return self._loop_thread

    async def _plan(self, jobs: Sequence[CallGroup]) -> list[LLMCall]:
        """The calls that are still to be made, after a look into the cache."""
        whole = [LLMCall(job, 0, job.count) for job in jobs if self._cfg.supports_n is not False or job.count == 1]
        left = await self._look_up(whole)
        # An earlier run may have asked one by one: then the first sample is most likely there.
        first = [LLMCall(call.job, 0, 1) for call in left if call.count > 1 and self._at_once(call)]
        unasked = {id(call.job) for call in await self._look_up(first)}
        calls = [call for call in left if call.count == 1 or id(call.job) in unasked]
        singles = [
            LLMCall(job, start, 1)
            for job in jobs
            if job.count > 1 and id(job) not in unasked
            for start in (job.missing() if job.parts else range(job.count))
        ]
        calls += await self._look_up(singles)
        for call in calls:
            call.job.open_calls += 1
        for job in jobs:
            if not job.open_calls:
                self._books.add_done(job.copies)
        return calls

    def _at_once(self, call: LLMCall) -> bool:
        """Whether a call asks for as many samples as the server gives in one."""
        return call.count == 1 or self._cfg.supports_n is True or not self._endpoint.dialect.one_by_one

    async def _look_up(self, calls: Sequence[LLMCall]) -> list[LLMCall]:
        """Fills in what the cache holds and returns the other calls."""
        if not calls or not self._use_cache:
            return list(calls)
        keys = [call_key(self._identity, call.job.request, call.start, call.count) for call in calls]
        left = []
        for call, record in zip(calls, await self._port.get_many(keys), strict=True):
            if record is None:
                left.append(call)
            else:
                call.job.parts[call.start] = record
        return left

    async def _run(self, calls: deque[LLMCall]) -> None:
        """Makes all calls; after the first fatal error no new one is begun, and it is raised when the others ended.

        Where the server has answered nothing yet, the first call goes alone: what it finds out spares the others.
        """
        stop = asyncio.Event()
        fatal: list[BaseException] = []

        async def one() -> None:
            call = calls.popleft()
            try:
                async with self._slots:
                    if not stop.is_set():
                        calls.extendleft(reversed(await self._make(call, stop)))
            except Exception as error:
                fatal.append(error)
                stop.set()

        async def worker() -> None:
            while calls and not stop.is_set():
                await one()

        if calls and not self._endpoint.dialect.answered:
            await one()
            if calls and calls[0].job.one_by_one:
                await one()
        await asyncio.gather(*(worker() for _ in range(min(self._concurrency, len(calls)))))
        if fatal:
            raise fatal[0]

    async def _make(self, call: LLMCall, stop: asyncio.Event) -> list[LLMCall]:
        """One call with its retries; returns the single calls that make up for texts the server left out."""
        job = call.job
        if not self._at_once(call):  # found out since it was planned
            more = await self._look_up([LLMCall(job, start, 1) for start in range(call.count)])
            job.open_calls += len(more) - 1
            if not job.open_calls:
                self._books.add_done(job.copies)
            return more
        more = []
        try:
            job.parts[call.start] = await self._caller.record(call, stop)
        except StoppedError:
            return []
        except (TransientError, RejectedError, SuspectError) as error:
            if stop.is_set():
                return []
            failure = error.rejection if isinstance(error, SuspectError) else error
            if self._endpoint.dialect.may_be_n(self._cfg, call.count, failure):
                job.one_by_one = True
                return [LLMCall(job, 0, 1)]
            if isinstance(error, SuspectError):
                await self._probe(str(error))
            job.error, job.rejected = str(failure), isinstance(failure, RejectedError)
            job.suspicion = failure.suspicion if isinstance(failure, RejectedError) else None
            self._give_up(failure)
        else:
            self._given_up, self._answered = 0, True
            job.paid = True
            if job.one_by_one and call.start == 0:
                self._endpoint.dialect.one_by_one = True
            if call.count > 1 or (job.one_by_one and call.start == 0):
                more = await self._look_up([LLMCall(job, start, 1) for start in job.missing()])
        job.open_calls += len(more) - 1
        if not job.open_calls:
            self._books.add_done(job.copies)
        return more

    async def _probe(self, suspicion: str) -> None:
        """Finds out whether a server that refused a prompt answers another one. Raises UserError if it does not."""
        async with self._probing:
            if not self._endpoint.dialect.refused_in_row:
                return  # it has meanwhile
            try:
                await self._caller.record(LLMCall(CallGroup(PROBE), 0, 1), asyncio.Event())
            except (TransientError, RejectedError, SuspectError):
                raise UserError(suspicion) from None
            self._given_up, self._answered = 0, True

    async def _check_refusals(self, jobs: Sequence[CallGroup]) -> None:
        """Prompts that were refused last may be the first of a server that now refuses everything."""
        suspicion = next((job.suspicion for job in jobs if job.suspicion), None)
        if suspicion is not None:
            await self._probe(suspicion)

    def _give_up(self, error: Exception) -> None:
        """Counts requests given up in a row. Raises UserError when the server is out of order."""
        self._given_up += 1
        if isinstance(error, TransientError) and error.unreachable:
            raise UserError(f"llm.base_url: {error} after {self._cfg.retries} retries: is the server still running?")
        if self._given_up >= max(MAX_CONSECUTIVE_FAILURES, self._concurrency) and not (
            self._answered and isinstance(error, RejectedError)
        ):
            raise self._hopeless(str(error), self._given_up)

    def _check_hopeless(self, groups: Sequence[CallGroup]) -> None:
        hopeless = len(groups) >= MAX_CONSECUTIVE_FAILURES and all(
            job.error is not None and not job.parts for job in groups
        )
        if hopeless and not (self._answered and all(job.rejected for job in groups)):
            raise self._hopeless(groups[0].error or "", len(groups))

    def _hopeless(self, last: str, count: int) -> UserError:
        advice = "see the server's message"
        if last.startswith("HTTP 429"):
            advice = "lower llm.concurrency, or raise llm.retries or llm.retry_backoff_s, and run again"
        elif not last.startswith("HTTP 4"):
            advice = "see the server's log and run again when it answers"
        return UserError(
            f"{self._endpoint.where}: {count} requests in a row were not answered (the last: {last}): {advice}; "
            "everything answered so far is kept"
        )


def _may_pass_soon(error: BaseException) -> bool:
    """Whether a server that is there fails at this moment."""
    return isinstance(error, TransientError) and not error.unreachable and not error.timed_out
