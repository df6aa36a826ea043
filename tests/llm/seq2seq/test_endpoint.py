"""The client before an encoder-decoder in this process: batches, samples, cache, budget, refusals."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import AskResources
from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.seq2seq.endpoint import Seq2SeqEndpoint
from hydra_ray.llm.types import Completion, Request

Make = Callable[..., LLMConfig]


def ask(text: str, n: int = 1, seed: int | None = 5, max_tokens: int = 6, **more: Any) -> Request:
    return Request(({"role": "user", "content": text},), 1.0 if n > 1 else 0.0, n, max_tokens, seed, **more)


PROMPTS = [ask(f"Note: {'the brown ' * (i % 4)}heron {i} is here.\nTag:", 1 + 2 * (i % 2)) for i in range(20)]


def go(
    folder: Path, cfg: LLMConfig, requests: Sequence[Request], **budget: Any
) -> tuple[list[Completion], ResponseCache, Seq2SeqEndpoint]:
    ledger, endpoint = ResponseCache(folder / "ledger.sqlite", "run", **budget), Seq2SeqEndpoint(cfg, AskResources())

    async def inner() -> list[Completion]:
        async with LLMClient(cfg, ledger, endpoint=endpoint) as client:
            await client.check()
            return await client.complete(requests)

    return asyncio.run(inner()), ledger, endpoint


@pytest.mark.parametrize("beams", [1, 3])
def test_answers_are_the_same_alone_and_together(config: Make, tmp_path: Path, beams: int) -> None:
    cfg = config({"num_beams": beams})
    (tmp_path / "alone").mkdir()
    together, ledger, _ = go(tmp_path, cfg, PROMPTS)
    alone, _, _ = go(tmp_path / "alone", cfg.model_copy(update={"concurrency": 1}), PROMPTS)
    assert together == alone
    assert [len(answer.texts) for answer in together] == [request.n for request in PROMPTS]
    assert len({text for answer in together for text in answer.texts}) > 10
    assert all(answer.prompt_tokens > 5 and 0 < answer.completion_tokens <= 18 for answer in together)
    assert ledger.counts().calls == 20


def test_concurrent_requests_share_batches(config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_ray.llm.seq2seq.generator import Seq2SeqGenerator

    sizes, real = [], Seq2SeqGenerator.answers
    monkeypatch.setattr(Seq2SeqGenerator, "answers", lambda self, rows: (sizes.append(len(rows)), real(self, rows))[1])
    go(tmp_path, config({"max_num_seqs": 8}), [ask(f"heron {i}") for i in range(24)])
    assert sum(sizes) == 24
    assert max(sizes) == 8
    assert len(sizes) <= 6


def test_samples_are_those_of_their_number(config: Make, tmp_path: Path) -> None:
    """Asked for at once, and with some of them known already."""
    cfg = config()
    endpoint = Seq2SeqEndpoint(cfg, AskResources())
    request = ask("the heron", 4)

    async def parts() -> tuple[list[str], list[str]]:
        whole = (await endpoint.chat(request, 0, 4)).record["texts"]
        single = [(await endpoint.chat(request, start, 1)).record["texts"][0] for start in range(4)]
        await endpoint.close()
        return whole, single

    whole, single = asyncio.run(parts())
    assert whole == single
    assert len(set(whole)) > 1
    unseeded = [go(tmp_path, cfg, [ask("the heron", 4, None)], max_calls=9)[0][0].texts for _ in range(2)]
    assert unseeded[0] == unseeded[1]  # from the cache
    (other,), _, _ = go(tmp_path, cfg, [ask("the heron", 4, 6)])
    assert other.texts != tuple(whole)


def test_cache_and_budget_work_as_with_a_server(config: Make, tmp_path: Path) -> None:
    cfg = config()
    first, _, _ = go(tmp_path, cfg, PROMPTS[:4])
    again, ledger, endpoint = go(tmp_path, cfg, [*PROMPTS[:4], PROMPTS[0]])
    assert [answer.texts for answer in again[:4]] == [answer.texts for answer in first]
    assert all(answer.cached for answer in again)
    assert ledger.counts().calls == 4
    assert "_generator" not in endpoint.__dict__  # no weights are loaded for what is known
    with pytest.raises(BudgetReachedError):
        go(tmp_path, cfg, PROMPTS, max_calls=6)
    # Other beams are another LLM; so are other weights.
    beams = config({"num_beams": 2})
    assert model_identity(beams) != model_identity(cfg)
    assert not go(tmp_path, beams, PROMPTS[:1])[0][0].cached


def test_a_prompt_that_is_too_long_is_asked_in_a_shorter_version(config: Make, tmp_path: Path) -> None:
    cfg = config({"max_model_len": 64})
    long, short = ({"role": "user", "content": " heron" * 90},), ({"role": "user", "content": "heron"},)
    (answer, plain, refused), _, _ = go(
        tmp_path,
        cfg,
        [Request(long, fallbacks=(long, short)), Request(short), Request(long, max_tokens=3, fallbacks=())],  # type: ignore[arg-type]
    )
    assert answer.texts == plain.texts
    assert (answer.degraded, plain.degraded) == (True, False)
    assert refused.permanent
    assert refused.error == "the prompt has 91 tokens, llm.serve.max_model_len=64"


def test_the_system_prompt_comes_first(config: Make, tmp_path: Path) -> None:
    system, prompt = "Answer with a tag.", "the heron"
    (answer,), _, _ = go(tmp_path, config(system_prompt=system), [ask(prompt)])
    (same, other), _, _ = go(tmp_path, config(), [ask(f"{system}\n\n{prompt}"), ask(prompt)])
    assert (answer.texts, answer.prompt_tokens) == (same.texts, same.prompt_tokens)
    assert answer.texts != other.texts


def test_half_a_character_is_read_as_a_sign_of_its_own(config: Make, tmp_path: Path) -> None:
    (broken, whole), _, _ = go(tmp_path, config(), [ask("heron \ud83d"), ask("heron \ufffd")])
    assert broken.error is None
    assert broken.texts == whole.texts


def test_weights_that_cannot_be_loaded_are_one_line(config: Make, t5: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(t5, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"broken: the model cannot be loaded \(.*\); put its files there") as error:
        go(tmp_path, config({"source": str(tmp_path / "broken")}), PROMPTS)
    assert "\n" not in str(error.value)


def test_an_adapter_is_refused(config: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a request names adapter u1, and engine: transformers has none"):
        go(tmp_path, config(), [ask("heron", lora="u1")])


def test_a_request_that_is_given_up_holds_nothing_up(config: Make) -> None:
    endpoint = Seq2SeqEndpoint(config(), AskResources())

    async def inner() -> list[str]:
        given_up = [asyncio.create_task(endpoint.chat(ask(f"heron {i}"), 0, 1)) for i in range(3)]
        while len(endpoint._waiting) < 3:
            await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        found = (await endpoint.chat(ask("the heron"), 0, 1)).record["texts"]
        await endpoint.close()
        return found

    assert len(asyncio.run(inner())) == 1
