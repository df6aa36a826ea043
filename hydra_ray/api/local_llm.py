"""An LLM whose weights lie in a folder, run by transformers in this process: for small models and few questions."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hydra_ray.config import LLMConfig
from hydra_ray.core.prompts import Message, with_system_prompt
from hydra_ray.inference.types import LLMResponse, PromptTooLongError
from hydra_ray.llm.types import Request
from hydra_ray.models.model_folder import no_progress_bars
from hydra_ray.utils.device import seed_draws


class LocalLLM:
    """Samples as vLLM does for a run: the chat template of the weights, no sampling settings but those asked for."""

    def __init__(self, folder: Path, config: LLMConfig) -> None:
        """Args:
        folder: With weights, configuration and tokenizer, as `save_pretrained` writes them.
        config: The run's settings of its LLM.
        """
        self._folder, self._config = folder, config
        self._one_at_a_time = asyncio.Lock()

    @cached_property
    def _model(self) -> Any:
        with no_progress_bars():
            return AutoModelForCausalLM.from_pretrained(str(self._folder), dtype=torch.float32).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(str(self._folder))

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        """n samples of the first version of the prompt that fits. Raises PromptTooLongError where none does."""
        del deadline, more
        async with self._one_at_a_time:
            for level, version in enumerate(chain([request.messages], request.fallbacks)):
                ids = self._ids(version)
                if ids.shape[1] + request.max_tokens <= self._model.config.max_position_embeddings:
                    return await asyncio.to_thread(self._sample, ids, request, level)
        raise PromptTooLongError(f"the prompt has {ids.shape[1]} tokens, more than the language model reads")

    def _ids(self, messages: Sequence[Message]) -> torch.Tensor:
        """Token ids of a prompt, int64 [1, T]."""
        chat = [dict(message) for message in with_system_prompt(messages, self._config.system_prompt)]
        text = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids: torch.Tensor = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return ids

    @torch.inference_mode()
    def _sample(self, ids: torch.Tensor, request: Request, level: int) -> LLMResponse:
        """The samples of a version of the request's prompt. ids: int64 [1, T]; level: the version's number."""
        n, temperature, seed = request.n, request.temperature, request.seed
        how: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": self._config.top_p or 1.0}
            how["num_return_sequences"] = n
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                seed_draws(seed, self._model.device)
            out = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request.max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **how,
            )
        rows = out[:, ids.shape[1] :]
        ends = self._tokenizer.eos_token_id
        texts = [self._tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
        cut = [i for i, row in enumerate(rows) if ends not in row.tolist()]
        if len(texts) < n:  # greedy: all samples are the same one
            texts, cut = texts * n, list(range(n)) if cut else []
        written = int((rows != self._tokenizer.pad_token_id).sum())
        return LLMResponse(tuple(texts), ids.shape[1], written, cut=frozenset(cut), shortened=level)
