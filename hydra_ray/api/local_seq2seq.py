"""The encoder-decoder LM of a run whose workers held it, in this process."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import AskResources
from hydra_ray.inference.types import LLMResponse, PromptTooLongError
from hydra_ray.llm.calls import samples
from hydra_ray.llm.retry import TooLongError
from hydra_ray.llm.seq2seq.endpoint import Seq2SeqEndpoint
from hydra_ray.llm.types import Request, finishes


class LocalSeq2Seq:
    """Answers as the run's workers did, on the CPU."""

    def __init__(self, config: LLMConfig) -> None:
        """config: the run's settings of its LLM."""
        self._endpoint = Seq2SeqEndpoint(config, AskResources())

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        """n samples of the first version of the prompt that fits. Raises PromptTooLongError where none does; UserError
        where the weights cannot be used."""
        del deadline, more
        count = samples(request)
        for level, messages in enumerate(chain([request.messages], request.fallbacks)):
            try:
                record = (await self._endpoint.chat(replace(request, messages=messages), 0, count)).record
            except TooLongError as error:
                refused = str(error)
                continue
            texts, ends = record["texts"] * (request.n // count), finishes(record) * (request.n // count)
            cut = frozenset(i for i, end in enumerate(ends) if end == "length")
            tokens = record["prompt_tokens"], record["completion_tokens"]
            return LLMResponse(tuple(texts), *tokens, cut=cut, shortened=level)
        raise PromptTooLongError(refused)
