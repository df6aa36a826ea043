"""Prompt budgets: from the model's tokenizer where there is one, else an estimate."""

from pathlib import Path

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.core.token_estimate import estimate_tokens
from hydra_ray.errors import UserError
from hydra_ray.llm.token_budget import prompt_budget, tokenizer_identity, tokenizer_of
from tests.models.small_t5 import write_t5

TASK = load_task("lamp_2m")


def test_a_served_model_counts_by_its_own_tokenizer_within_its_window() -> None:
    budget = prompt_budget(LLMConfig(), TASK)
    assert budget.exact
    assert budget.prompt_tokens == 1536 - TASK.max_answer_tokens - 64
    assert budget.count("one two three") > 1


def test_an_external_server_is_estimated_unless_a_tokenizer_is_named() -> None:
    url = "http://127.0.0.1:9/v1"
    budget = prompt_budget(LLMConfig(base_url=url), TASK)
    assert (budget.count, budget.exact, budget.prompt_tokens) == (estimate_tokens, False, 3072)
    folder = tokenizer_of(LLMConfig())
    named = prompt_budget(LLMConfig(base_url=url, tokenizer=folder, max_prompt_tokens=500, max_item_tokens=20), TASK)
    assert (named.exact, named.prompt_tokens, named.item_tokens) == (True, 500, 20)


def test_a_tokenizer_is_what_it_holds_wherever_it_lies(tmp_path: Path) -> None:
    folder = Path(tokenizer_of(LLMConfig()) or "")
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    url = "http://127.0.0.1:9/v1"
    moved = tokenizer_identity(LLMConfig(base_url=url, tokenizer=str(tmp_path)))
    assert moved == tokenizer_identity(LLMConfig())
    (tmp_path / "tokenizer.json").write_text("{}")
    assert tokenizer_identity(LLMConfig(base_url=url, tokenizer=str(tmp_path))) != moved
    assert tokenizer_identity(LLMConfig(base_url=url, tokenizer="org/model")) == "org/model"
    assert tokenizer_identity(LLMConfig(base_url=url)) == "estimate"


def test_what_cannot_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"llm.max_prompt_tokens=4000: llm.serve.max_model_len=1536 leaves 1448"):
        prompt_budget(LLMConfig(max_prompt_tokens=4000), TASK)
    many = TASK.model_copy(update={"labels": tuple(f"label number {i}" for i in range(2000))})
    with pytest.raises(UserError, match=r"task lamp_2m: instruction and labels take \d+ of the 3072 tokens"):
        prompt_budget(LLMConfig(base_url="http://127.0.0.1:9/v1"), many)
    with pytest.raises(UserError, match=r"llm.tokenizer: .* holds no tokenizer.json"):
        prompt_budget(LLMConfig(base_url="http://127.0.0.1:9/v1", tokenizer=str(tmp_path)), TASK)


def test_an_encoder_reads_the_prompt_alone(tmp_path: Path) -> None:
    serve = {"engine": "transformers", "source": str(write_t5(tmp_path / "t5")), "max_model_len": 512}
    config = LLMConfig.model_validate({"serve": serve})
    budget = prompt_budget(config, TASK)
    assert (budget.exact, budget.prompt_tokens) == (True, 508)
    with pytest.raises(
        UserError, match=r"llm.max_prompt_tokens=512: .*max_model_len=512 leaves 508 next to the system"
    ):
        prompt_budget(config.model_copy(update={"max_prompt_tokens": 512}), TASK)
    system = "Answer with one tag."
    after = prompt_budget(config.model_copy(update={"system_prompt": system}), TASK)
    assert after.prompt_tokens == 508 - budget.count(system) < 508
