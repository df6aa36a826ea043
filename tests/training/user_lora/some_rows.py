"""Rows of made-up users in the synthetic tasks' words."""

from collections.abc import Sequence

from hydra_ray.core.prompts import answer_prompt
from hydra_ray.core.tasks import load_task
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.synth.world import make_user
from hydra_ray.tiny_llm.corpus import record
from hydra_ray.tiny_llm.sequence import BUDGET
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, UserRows, tokenise_rows


def rows_of_user(index: int, count: int, task: str = "tagging") -> list[LoraRow]:
    """A user's items, each asked as a question, with its own answer."""
    user = make_user(task, 0, index, (count, count), 1, "lora-test")
    definition = load_task(f"synthetic_{task}")
    prompts = [answer_prompt(definition, item.text, [], BUDGET).messages[0]["content"] for item in user.items]
    items = [record(item) for item in user.items]
    return [LoraRow(user.user_id, prompt, item.answer) for prompt, item in zip(prompts, items, strict=True)]


def some_users(base: Decoder, counts: Sequence[int], max_tokens: int = 200) -> list[UserRows]:
    """Users with so many rows each, tokenised."""
    rows = [row for index, count in enumerate(counts) for row in rows_of_user(index, count)]
    users = [make_user("tagging", 0, index, (0, 0), 1, "lora-test").user_id for index in range(len(counts))]
    return tokenise_rows(rows, users, RowTokenizer(base.tokenizer, max_tokens))
