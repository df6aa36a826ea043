"""The packaged LLM in this process."""

import asyncio
from typing import Any

import pytest

from hydra_ray.api.llm_adapters import as_llm
from hydra_ray.config import Config, LLMConfig
from hydra_ray.core.prompts import Message
from hydra_ray.inference.types import LLMResponse, PromptTooLongError
from hydra_ray.llm.types import Request


def config(**changes: Any) -> LLMConfig:
    return Config.model_validate({"llm": changes}).llm


def test_the_packaged_llm_samples_in_this_process_and_repeats_with_a_seed() -> None:
    llm = as_llm(None, config())
    prompt: tuple[Message, ...] = (
        {"role": "user", "content": "Note: Frost on the reeds.\nTag: dune\n\nNote: Snow.\nTag:"},
    )

    async def twice() -> list[LLMResponse]:
        return [await llm.sample(Request(prompt, 1.0, 4, 4, 5), deadline=float("inf")) for _ in range(2)]

    one, other = asyncio.run(twice())
    assert one == other
    assert len(one.texts) == 4
    assert one.prompt_tokens > 8
    too_long: tuple[Message, ...] = ({"role": "user", "content": "snow " * 5000},)
    with pytest.raises(PromptTooLongError, match="more than the language model reads"):
        asyncio.run(llm.sample(Request(too_long), deadline=float("inf")))  # type: ignore[arg-type]
    shorter = asyncio.run(llm.sample(Request(too_long, fallbacks=(too_long, prompt)), deadline=float("inf")))  # type: ignore[arg-type]
    assert (len(shorter.texts), shorter.shortened) == (1, 2)
