"""The endpoint in this process: requests that come at the same time are answered in batches, on a thread of its own."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import Placement
from hydra_ray.core.hashing import stable_seed
from hydra_ray.core.prompts import with_system_prompt
from hydra_ray.errors import UserError
from hydra_ray.llm.dialect import Dialect
from hydra_ray.llm.endpoint import Reply
from hydra_ray.llm.response_parsing import Usage, most_usage
from hydra_ray.llm.retry import TooLongError
from hydra_ray.llm.seq2seq.generator import Seq2SeqGenerator
from hydra_ray.llm.seq2seq.rows import PromptRow, RowAnswer, next_batch
from hydra_ray.llm.types import CachedResponse, Request, without_surrogates
from hydra_ray.models.seq2seq import encoder_text

GATHER_S = 0.01
"""What a batch waits for requests that come at about the same time; answers take far longer."""
Result = TypeVar("Result")


class Seq2SeqEndpoint:
    """An `Endpoint` for the encoder-decoder that `llm.serve` describes. The first call loads the weights.

    A request waits for its turn, whatever `llm.timeout_s` says.
    """

    def __init__(self, cfg: LLMConfig, wanted: Placement) -> None:
        """wanted: what this process may use."""
        self._cfg, self._wanted = cfg, wanted
        self.where = f"llm.serve.source={cfg.serve.source}"
        self.dialect = Dialect(takes_n=True, answered=True)  # nothing to find out
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seq2seq")
        self._waiting: list[tuple[PromptRow, asyncio.Future[RowAnswer]]] = []
        self._work: asyncio.Task[None] | None = None

    def most(self, request: Request, count: int) -> Usage:
        """The most tokens that a call for `count` samples can take."""
        return most_usage(with_system_prompt(request.messages, self._cfg.system_prompt), count, request.max_tokens)

    async def chat(self, request: Request, start: int, count: int, timeout_s: float | None = None) -> Reply:
        """The samples `start` to `start + count` of a request; each follows from the request's seed and its number.

        Raises TooLongError; UserError where the weights cannot be used, or memory runs out.
        """
        if request.lora is not None:
            raise UserError(f"{self.where}: a request names adapter {request.lora}, and engine: transformers has none")
        text = without_surrogates(encoder_text(with_system_prompt(request.messages, self._cfg.system_prompt)))
        ids = await self._in_thread(lambda: self._generator.encode(text))
        if len(ids) > self._cfg.serve.max_model_len:
            raise TooLongError(
                f"the prompt has {len(ids)} tokens, llm.serve.max_model_len={self._cfg.serve.max_model_len}"
            )
        rows = [self._row(request, ids, number) for number in range(start, start + count)]
        return Reply(_record(ids, await asyncio.gather(*(self._answer(row) for row in rows))))

    async def models(self) -> list[str] | None:
        """The one model that is here."""
        return [self._cfg.model]

    async def close(self) -> None:
        """Ends the thread when it has done what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _generator(self) -> Seq2SeqGenerator:
        """Made by the thread that uses it."""
        return Seq2SeqGenerator(self._cfg, self._wanted)

    def _row(self, request: Request, ids: tuple[int, ...], number: int) -> PromptRow:
        if not request.temperature:
            return PromptRow(ids, request.max_tokens, self._cfg.serve.num_beams)
        seed = secrets.randbits(31) if request.seed is None else stable_seed("sample", request.seed, number)
        return PromptRow(ids, request.max_tokens, 1, request.temperature, seed)

    async def _answer(self, row: PromptRow) -> RowAnswer:
        """The row's answer, along with others that wait."""
        future: asyncio.Future[RowAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_waiting())
        return await future

    async def _answer_waiting(self) -> None:
        """Batch after batch until nothing waits."""
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            self._waiting = [(row, future) for row, future in self._waiting if not future.done()]  # else: given up
            if not self._waiting:
                return
            places = next_batch([row for row, _ in self._waiting], self._cfg.serve.max_num_seqs)
            batch = [self._waiting[i] for i in places]
            self._waiting = [one for i, one in enumerate(self._waiting) if i not in set(places)]
            rows = [row for row, _ in batch]
            try:
                answers = await self._in_thread(lambda rows=rows: self._generator.answers(rows))  # type: ignore[misc]
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _record(ids: Sequence[int], answers: Sequence[RowAnswer]) -> CachedResponse:
    """What the response cache keeps of a call; its prompt counts once."""
    record = CachedResponse(
        texts=[answer.text for answer in answers],
        prompt_tokens=len(ids),
        completion_tokens=sum(answer.tokens for answer in answers),
    )
    if any(answer.finish != "stop" for answer in answers):
        record["finish"] = [answer.finish for answer in answers]
    return record
