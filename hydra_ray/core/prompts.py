"""Prompts: what the black box is shown. One user message; examples and question share one layout.

    {instruction, with the labels of a closed task}

    {text_label}: <an item's text>
    {answer_label}: <the user's answer for it>

    {text_label}: <the question>
    {answer_label}:

The best example stands last, nearest to the question. With a profile summary (PAG), a line
"About this person: ..." follows the instruction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from hydra_ray.core.tasks import Task
from hydra_ray.core.token_estimate import TokenCounter, estimate_tokens, truncate_to_tokens
from hydra_ray.core.types import HistoryItem


class Message(TypedDict):
    role: str
    content: str


def with_system_prompt(messages: Sequence[Message], system: str | None) -> list[Message]:
    """Messages after a system prompt, if there is one; two system messages become one, which all servers take."""
    rest = list(messages)
    if not system:
        return rest
    if rest[0]["role"] == "system":
        system, rest = f"{system}\n\n{rest[0]['content']}", rest[1:]
    return [{"role": "system", "content": system}, *rest]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat prompt and what was cut to make it fit: examples dropped, and whether the question was cut.

    fallbacks: the same prompt with ever less in it, for an LLM that refuses this one as too long.
    """

    messages: tuple[Message, ...]
    examples: int
    dropped_examples: int = 0
    clipped_texts: int = 0
    question_cut: bool = False
    fallbacks: tuple[tuple[Message, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """How much the model reads: tokens of a history item's text, and of the whole prompt.

    count: the model's own tokenizer, or an estimate. exact: whether it is the former; prompts whose size is estimated
    carry fallbacks.
    """

    item_tokens: int = 192
    prompt_tokens: int = 3072
    count: TokenCounter = estimate_tokens
    exact: bool = False


SEPARATOR = 2
"""Tokens of the blank line between two parts, at most."""


def one_line(text: str) -> str:
    """`text` on one line, with single blanks."""
    return " ".join(text.split())


def render(task: Task, query: str, examples: Sequence[tuple[str, str]], summary: str = "") -> str:
    """The user message. `examples` are (text, answer), best last, as `shown_text` and `shown_answer` make them."""
    return "\n\n".join([_head(task, summary), *(_example(task, *pair) for pair in examples), _question(task, query)])


def _head(task: Task, summary: str) -> str:
    return task.shown_instruction + (f"\nAbout this person: {summary}" if summary else "")


def _example(task: Task, text: str, answer: str) -> str:
    return f"{task.text_label}: {text}" + (f"\n{task.answer_label}: {answer}" if answer else "")


def _question(task: Task, query: str) -> str:
    return f"{task.text_label}: {query}\n{task.answer_label}:"


def shown_text(task: Task, text: str) -> str:
    """A text as prompts show it: on one line, but for free text of several lines, which keeps them."""
    return text.strip() if not task.closed and not task.single_line else one_line(text)


def answer_prompt(
    task: Task, query: str, items: Sequence[HistoryItem], budget: PromptBudget, summary: str = ""
) -> Prompt:
    """The prompt that answers `query` with `items` (best first) as examples.

    Truncation by rule, history first and question last: every example's text and answer are clipped to
    `budget.item_tokens`; while the prompt exceeds `budget.prompt_tokens`, the worst example goes; if it still does not
    fit, the summary goes; only then is the question's end cut.
    """
    texts = [truncate_to_tokens(shown_text(task, item.text), budget.item_tokens, budget.count) for item in items]
    answers = [truncate_to_tokens(shown_text(task, item.answer), budget.item_tokens, budget.count) for item in items]
    examples = [(text, answer) for (text, _), (answer, _) in zip(texts, answers, strict=True)]
    query = shown_text(task, query)
    sizes = [budget.count(_example(task, *pair)) + SEPARATOR for pair in examples]
    left = budget.prompt_tokens - budget.count(_head(task, summary)) - budget.count(_question(task, query)) - SEPARATOR
    if summary and left < 0:
        left += budget.count(_head(task, summary)) - budget.count(_head(task, ""))
        summary = ""
    kept = 0
    while kept < len(sizes) and sizes[kept] <= left:
        left -= sizes[kept]
        kept += 1
    question_cut = False
    if left < 0:
        query, question_cut = truncate_to_tokens(query, max(1, budget.count(query) + left), budget.count)
    shown = examples[:kept]
    clipped = sum(a or b for (_, a), (_, b) in zip(texts[:kept], answers[:kept], strict=True))
    return Prompt(
        messages=_message(render(task, query, shown[::-1], summary)),
        examples=kept,
        dropped_examples=len(items) - kept,
        clipped_texts=clipped,
        question_cut=question_cut,
        fallbacks=() if budget.exact else _fallbacks(task, query, shown, budget),
    )


def _message(content: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": content},)


def _fallbacks(
    task: Task, query: str, examples: Sequence[tuple[str, str]], budget: PromptBudget
) -> tuple[tuple[Message, ...], ...]:
    """Half of the examples, then none, then half and an eighth of the question."""
    shorter = [
        render(task, query, examples[:count][::-1]) for count in (len(examples) // 2, 0) if count < len(examples)
    ]
    tokens = budget.count(query)
    shorter += [render(task, truncate_to_tokens(query, max(1, tokens // part), budget.count)[0], ()) for part in (2, 8)]
    return tuple(_message(content) for content in dict.fromkeys(shorter))


def summary_prompt(task: Task, items: Sequence[HistoryItem], budget: PromptBudget) -> Prompt:
    """The prompt that asks for a profile summary (PAG) of `items`, newest last; the oldest are dropped to fit."""
    instruction = task.rules.summary_instruction
    blocks = []
    for item in items:
        text, _ = truncate_to_tokens(shown_text(task, item.text), budget.item_tokens, budget.count)
        answer, _ = truncate_to_tokens(shown_text(task, item.answer), budget.item_tokens, budget.count)
        blocks.append(_example(task, text, answer))
    left = budget.prompt_tokens - budget.count(instruction) - budget.count("Summary:") - SEPARATOR
    kept: list[str] = []
    for block in reversed(blocks):
        left -= budget.count(block) + SEPARATOR
        if left < 0:
            break
        kept.insert(0, block)
    versions = [kept] if budget.exact else [kept, kept[len(kept) // 2 :], kept[-1:]]
    contents = dict.fromkeys("\n\n".join([instruction, *some, "Summary:"]) for some in versions)
    messages = [_message(content) for content in contents]
    return Prompt(messages[0], len(kept), len(blocks) - len(kept), fallbacks=tuple(messages[1:]))
