"""The client: requests in, answers out, in order; cached, within the budget, `llm.concurrency` at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from hydra_ray.config import LLMConfig
from hydra_ray.environment import Secret
from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.books import Books
from hydra_ray.llm.endpoint import ChatEndpoint
from hydra_ray.llm.identity import model_identity
from hydra_ray.llm.ledger import Ledger, Settled
from hydra_ray.llm.loop import LoopThread
from hydra_ray.llm.ports import LedgerPort, LocalPort
from hydra_ray.llm.retry import RejectedError, TransientError, backoff
from hydra_ray.llm.types import Answer, Record, Request, call_key, finishes

# This many requests in a row given up, with none answered in between, and the server is taken to be out of order.
HOPELESS = 8


@dataclass(slots=True)
class _Job:
    """One distinct request: its calls still to be made, and the parts that have come in, by first sample."""

    request: Request
    copies: int
    parts: dict[int, Record] = field(default_factory=dict)
    open_calls: int = 0
    paid: bool = False
    error: str | None = None
    rejected: bool = False

    def answer(self) -> Answer:
        records = [self.parts[start] for start in sorted(self.parts)]
        texts = tuple(text for record in records for text in record["texts"])[: self.request.n]
        finish = tuple(end for record in records for end in finishes(record))[: self.request.n]
        return Answer(
            texts=texts,
            prompt_tokens=sum(record["prompt_tokens"] for record in records),
            completion_tokens=sum(record["completion_tokens"] for record in records),
            cached=bool(records) and not self.paid and self.error is None,
            error=self.error,
            permanent=self.rejected,
            finish=finish,
            degraded=any(record.get("degraded", False) for record in records),
        )

    def missing(self, count: int) -> list[int]:
        """First samples of the single calls that make up for a call that returned fewer than `count` texts."""
        return list(range(len(self.parts[0]["texts"]), count)) if 0 in self.parts and count > 1 else []


@dataclass(frozen=True, slots=True)
class _Call:
    job: _Job
    start: int
    count: int


class LLMClient:
    """An asynchronous client for one model; `complete_sync` is for synchronous code.

    ledger: where answers are kept and counted: a `Ledger`, or a port to the actor. base_url: overrides
    `llm.base_url` (the address of the model that the run serves itself). identity: overrides the model's identity.
    concurrency: requests in flight, default `llm.concurrency`. use_cache: False asks again every time (benchmarks).
    key: default, what `llm.api_key_env` holds in this process (a worker on another node may hold none).
    Raises UserError if there is no address, or key or address cannot be used.
    """

    def __init__(
        self,
        cfg: LLMConfig,
        ledger: Ledger | LedgerPort,
        *,
        base_url: str | None = None,
        identity: str | None = None,
        concurrency: int | None = None,
        use_cache: bool = True,
        key: Secret | None = None,
    ) -> None:
        url = base_url or cfg.base_url
        if url is None:
            raise UserError("llm.base_url: not set and no model is served: give the address of a chat server")
        self._cfg = cfg
        self._identity = identity if identity is not None else model_identity(cfg)
        self._concurrency = concurrency or cfg.concurrency
        self._use_cache = use_cache
        self._port: LedgerPort = LocalPort(ledger) if isinstance(ledger, Ledger) else ledger
        self._endpoint = ChatEndpoint(cfg, url, self._concurrency, key)
        self._books = Books(self._port)
        self._slots = asyncio.Semaphore(self._concurrency)
        self._given_up = 0  # in a row
        self._answered = False  # ever
        self._loop_thread: LoopThread | None = None

    async def complete(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers in the order of `requests`; what is cached is not paid again, equal requests are paid once.

        A request that the server refuses or that fails after all retries comes back with `Answer.error`; it shifts no
        other. Raises BudgetReachedError, or UserError where nothing would be answered (key, address, server out of
        order), both only after the calls in flight have ended and everything answered is on disk.
        """
        answers, over = await self.complete_affordable(requests)
        if over is not None:
            raise over
        return [answer for answer in answers if answer is not None]

    async def complete_affordable(
        self, requests: Sequence[Request]
    ) -> tuple[list[Answer | None], BudgetReachedError | None]:
        """`complete`, but a reached budget is returned beside the answers; None stands for each that it left open.

        Of equal requests only the first counts as paid.
        """
        jobs: dict[str, _Job] = {}
        keys = [call_key(self._identity, request, 0, request.n) for request in requests]
        for key, request in zip(keys, requests, strict=True):
            if key in jobs:
                jobs[key].copies += 1
            else:
                jobs[key] = _Job(request, 1)
        over = None
        try:
            await self._run(deque(await self._plan(list(jobs.values()))))
        except BudgetReachedError as error:
            over = error
        finally:
            await asyncio.shield(self._books.flush())
        self._check_hopeless([job for job in jobs.values() if job.paid or job.error])
        answers: list[Answer | None] = []
        given: set[str] = set()
        for key in keys:
            answer = jobs[key].answer() if not jobs[key].open_calls else None
            if answer is not None and key in given and answer.error is None:
                answer = replace(answer, cached=True)
            given.add(key)
            answers.append(answer)
        return answers, over

    def complete_sync(self, requests: Sequence[Request]) -> list[Answer]:
        """`complete`, on a background loop of this client's own."""
        return self._thread().run(self.complete(requests))

    async def check(self) -> None:
        """Finds out before the run whether the server answers: lists its models, or else asks for one token.

        Raises UserError with what to check.
        """
        try:
            models = await self._endpoint.models()
        except TransientError as error:
            raise UserError(f"llm.base_url: {error}: is the server running and the address right?") from None
        if models is None or self._cfg.model not in models:
            probe = Request(({"role": "user", "content": "Hello"},), max_tokens=1)
            (answer,) = await self.complete([probe])
            if answer.error is not None:
                raise UserError(f"{self._endpoint.where}: does not answer: {answer.error}")

    def check_sync(self) -> None:
        """`check`, on the background loop."""
        self._thread().run(self.check())

    async def close(self) -> None:
        """Notes what is left and closes the connections."""
        await self._books.flush()
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

    def _thread(self) -> LoopThread:
        if self._loop_thread is None:
            self._loop_thread = LoopThread()
        return self._loop_thread

    async def _plan(self, jobs: Sequence[_Job]) -> list[_Call]:
        """The calls that are still to be made, after a look into the cache."""
        native = self._cfg.native_n
        calls = [
            _Call(job, start, job.request.n if native else 1)
            for job in jobs
            for start in ([0] if native else range(job.request.n))
        ]
        calls = await self._look_up(calls)
        topped = {id(call.job) for call in calls}
        extra = [
            _Call(job, start, 1)
            for job in jobs
            if native and id(job) not in topped
            for start in job.missing(job.request.n)
        ]
        calls += await self._look_up(extra)
        for call in calls:
            call.job.open_calls += 1
        for job in jobs:
            if not job.open_calls:
                self._books.add_done(job.copies)
        return calls

    async def _look_up(self, calls: Sequence[_Call]) -> list[_Call]:
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

    async def _run(self, calls: deque[_Call]) -> None:
        """Makes all calls; after the first fatal error no new one is begun, and it is raised when the others ended."""
        stop = asyncio.Event()
        fatal: list[BaseException] = []

        async def worker() -> None:
            while calls and not stop.is_set():
                call = calls.popleft()
                try:
                    async with self._slots:
                        if not stop.is_set():
                            calls.extend(await self._make(call, stop))
                except Exception as error:
                    fatal.append(error)
                    stop.set()

        await asyncio.gather(*(worker() for _ in range(min(self._concurrency, len(calls)))))
        if fatal:
            raise fatal[0]

    async def _make(self, call: _Call, stop: asyncio.Event) -> list[_Call]:
        """One call with its retries; returns the single calls that make up for texts the server left out."""
        more: list[_Call] = []
        job = call.job
        try:
            record = await self._attempts(call, stop)
        except (TransientError, RejectedError) as error:
            if stop.is_set():
                return []
            job.error, job.rejected = str(error), isinstance(error, RejectedError)
            self._give_up(error)
        else:
            self._given_up, self._answered = 0, True
            job.paid = True
            job.parts[call.start] = record
            if call.count > 1:
                more = await self._look_up([_Call(job, start, 1) for start in job.missing(call.count)])
        job.open_calls += len(more) - 1
        if not job.open_calls:
            self._books.add_done(job.copies)
        return more

    async def _attempts(self, call: _Call, stop: asyncio.Event) -> Record:
        body = self._endpoint.body(call.job.request, call.start, call.count)
        most = self._most(call)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._cfg.retries + 1),
            wait=backoff(self._cfg.retry_wait_s),
            retry=retry_if_exception_type(TransientError),
            sleep=_sleep_unless(stop),
            reraise=True,
        )
        async for attempt in retrying:
            number = attempt.retry_state.attempt_number
            with attempt:
                reservation = await self._books.reserve(most)
                last = Settled(reservation, calls=1, cost=most)
                try:
                    record, counted = await self._endpoint.chat(body, call.count)
                    key = call_key(self._identity, call.job.request, call.start, call.count)
                    cost = self._cost(record["prompt_tokens"], record["completion_tokens"]) if counted else most
                    last = Settled(reservation, key, record, calls=1, cost=cost, retries=number - 1)
                    return record
                except TransientError as error:
                    over = number > self._cfg.retries
                    last = Settled(
                        reservation,
                        calls=int(error.maybe_billed),
                        cost=most if error.maybe_billed else 0.0,
                        retries=number - 1 if over else 0,
                        failed=int(over),
                    )
                    raise
                except (RejectedError, UserError):
                    last = Settled(reservation, retries=number - 1, failed=1)
                    raise
                finally:
                    self._books.settle(last)
        raise AssertionError("tenacity always returns or raises")

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self._cfg.price_prompt + completion_tokens * self._cfg.price_completion) / 1e6

    def _most(self, call: _Call) -> float:
        """The most a call can cost: no tokeniser makes more tokens than bytes; 16 a message for the chat format."""
        request = call.job.request
        prompt = sum(len(m["content"].encode(errors="replace")) + 16 for m in request.messages)
        return self._cost(prompt, call.count * request.max_tokens)

    def _give_up(self, error: Exception) -> None:
        """Counts requests given up in a row. Raises UserError when the server is out of order."""
        self._given_up += 1
        if isinstance(error, TransientError) and error.unreachable:
            raise UserError(f"llm.base_url: {error} after {self._cfg.retries} retries: is the server still running?")
        if self._given_up >= max(HOPELESS, self._concurrency) and not (
            self._answered and isinstance(error, RejectedError)
        ):
            raise self._hopeless(str(error), self._given_up)

    def _check_hopeless(self, asked: Sequence[_Job]) -> None:
        hopeless = len(asked) >= HOPELESS and all(job.error is not None and not job.parts for job in asked)
        if hopeless and not (self._answered and all(job.rejected for job in asked)):
            raise self._hopeless(asked[0].error or "", len(asked))

    def _hopeless(self, last: str, count: int) -> UserError:
        advice = "see the server's message"
        if last.startswith("HTTP 429"):
            advice = "lower llm.concurrency, or raise llm.retries or llm.retry_wait_s, and run again"
        elif not last.startswith("HTTP 4"):
            advice = "see the server's log and run again when it answers"
        return UserError(
            f"{self._endpoint.where}: {count} requests in a row were not answered (the last: {last}): {advice}; "
            "everything answered so far is kept"
        )


def _sleep_unless(stop: asyncio.Event) -> Callable[[float], "asyncio.Future[None]"]:
    """A sleep that ends early once no further call is wanted."""

    async def sleep(seconds: float) -> None:
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            return
        raise TransientError("given up: another request failed for good")

    return sleep  # type: ignore[return-value]
