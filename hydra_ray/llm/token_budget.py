"""The prompt budget of the black box: how many tokens its prompts may have, and what counts them."""

import hashlib
from functools import lru_cache
from pathlib import Path

from hydra_ray.config import LLMConfig
from hydra_ray.core.lamp_prompts import lamp_form
from hydra_ray.core.prompts import PromptBudget
from hydra_ray.core.tasks import Task
from hydra_ray.core.token_estimate import TokenCounter, estimate_tokens
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source

CHAT_FORMAT_TOKENS = 64
"""What a chat template puts around one user message, at most."""
SPECIAL_TOKENS = 4
"""What an encoder-decoder's tokenizer puts around a prompt, at most."""
EXTERNAL_PROMPT_TOKENS = 3072
"""Longest prompt for a `base_url`, unless `llm.max_prompt_tokens` says otherwise: the smallest windows still in use
have 4,096 tokens."""
LABELS_SHARE = 0.5
"""The instruction with its labels may take so much of a prompt."""


def prompt_budget(cfg: LLMConfig, task: Task) -> PromptBudget:
    """The budget of the task's prompts.

    Raises UserError if the task has not the layout of `llm.prompt`, the tokenizer cannot be read, the model's window is
    too short for any prompt, or the task's instruction with its labels takes most of it.
    """
    if cfg.prompt == "lamp":
        lamp_form(task)
    source = tokenizer_of(cfg)
    count = _counter(source) if source else estimate_tokens
    tokens = cfg.max_prompt_tokens
    if cfg.base_url is None:
        if cfg.in_process:  # the encoder reads the prompt alone
            taken = SPECIAL_TOKENS + (count(cfg.system_prompt) if cfg.system_prompt else 0)
            by = "the system prompt and special tokens"
        else:
            taken = CHAT_FORMAT_TOKENS + task.max_answer_tokens
            by = f"answers of {task.max_answer_tokens} tokens"
        window = cfg.serve.max_model_len - taken
        if tokens is not None and tokens > window:
            raise UserError(
                f"llm.max_prompt_tokens={tokens}: llm.serve.max_model_len={cfg.serve.max_model_len} leaves {window} "
                f"next to {by}"
            )
        tokens = tokens or window
    tokens = tokens or EXTERNAL_PROMPT_TOKENS
    head = count(task.shown_instruction)
    if head > LABELS_SHARE * tokens:
        raise UserError(
            f"task {task.name}: instruction and labels take {head} of the {tokens} tokens that a prompt may have: "
            "raise llm.max_prompt_tokens (and llm.serve.max_model_len), or give hide_labels and a reason in the task"
        )
    return PromptBudget(cfg.max_item_tokens, tokens, count, exact=source is not None)


def tokenizer_of(cfg: LLMConfig) -> str | None:
    """The folder or hub id of the tokenizer that counts; None where only an estimate is to be had."""
    if cfg.tokenizer is not None:
        return cfg.tokenizer
    return weights_source(cfg.serve.source) if cfg.base_url is None else None


def tokenizer_identity(cfg: LLMConfig) -> str:
    """What counts, wherever its folder lies: a hub id as it stands, a folder by a digest of its tokenizer.json."""
    source = tokenizer_of(cfg)
    if source is None:
        return "estimate"
    file = _file(source)
    return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest() if file.exists() else source


def _file(source: str) -> Path:
    return Path(source).expanduser() / "tokenizer.json"


@lru_cache(maxsize=4)
def _counter(source: str) -> TokenCounter:
    """Counts by a tokenizer.json, which the small `tokenizers` library reads without torch."""
    from tokenizers import Tokenizer

    file = _file(source)
    try:
        if file.exists():
            tokenizer = Tokenizer.from_file(str(file))
        elif Path(source).expanduser().exists():
            raise UserError(f"llm.tokenizer: {source} holds no tokenizer.json: give a folder that has one, or a hub id")
        else:
            tokenizer = Tokenizer.from_pretrained(source)
    except UserError:
        raise
    except Exception as error:
        line = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"llm.tokenizer: {source} cannot be read: {line}: give a folder with a tokenizer.json"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    @lru_cache(maxsize=16384)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
