"""A run's encoder-decoder in this process."""

import asyncio
from pathlib import Path

import pytest

from hydra_ray.api.llm_adapters import as_llm
from hydra_ray.config import LLMConfig
from hydra_ray.core.prompts import Message
from hydra_ray.inference.types import LLMResponse, PromptTooLongError
from hydra_ray.llm.types import Request
from tests.models.small_t5 import write_t5

PROMPT: tuple[Message, ...] = ({"role": "user", "content": "Note: Frost on the reeds.\nTag:"},)
LONG: tuple[Message, ...] = ({"role": "user", "content": " frost" * 90},)


def test_it_samples_repeats_with_a_seed_and_shortens(tmp_path: Path) -> None:
    serve = {"engine": "transformers", "source": str(write_t5(tmp_path / "t5")), "max_model_len": 64, "threads": 1}
    llm = as_llm(None, LLMConfig.model_validate({"serve": serve}))

    async def ask(*requests: Request) -> list[LLMResponse]:
        return [await llm.sample(request, deadline=float("inf")) for request in requests]

    one, other, greedy, shorter = asyncio.run(
        ask(Request(PROMPT, 1.0, 4, 4, 5), Request(PROMPT, 1.0, 4, 4, 5), Request(PROMPT, 0.0, 3, 4),
            Request(LONG, 0.0, 1, 4, fallbacks=(LONG, PROMPT)))
    )  # fmt: skip
    assert one == other
    assert len(set(one.texts)) > 1
    assert len(greedy.texts) == 3
    assert greedy.texts == greedy.texts[:1] * 3
    assert (shorter.texts, shorter.shortened) == (greedy.texts[:1], 2)
    assert one.prompt_tokens > 5
    assert one.completion_tokens <= 16
    assert one.cut <= {0, 1, 2, 3}
    with pytest.raises(PromptTooLongError, match=r"the prompt has 9\d tokens, llm\.serve\.max_model_len=64"):
        asyncio.run(ask(Request(LONG)))
