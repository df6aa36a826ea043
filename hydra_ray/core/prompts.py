"""Prompts: what the black box is shown. One user message; examples and question share one layout.

    {instruction}

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

from hydra_ray.core.records import HistoryItem
from hydra_ray.core.tasks import Task


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat prompt and what was cut to make it fit: examples dropped, and whether the question lost words."""

    messages: tuple[Message, ...]
    examples: int
    dropped_examples: int = 0
    clipped_texts: int = 0
    question_cut: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """How much the model reads: words per single text, and words per whole prompt."""

    text_words: int = 128
    prompt_words: int = 1024


def clip(text: str, words: int) -> tuple[str, bool]:
    """The first `words` whitespace-separated words of `text` on one line, and whether anything was cut."""
    parts = text.split()
    return " ".join(parts[:words]), len(parts) > words


def _words(text: str) -> int:
    return len(text.split())


def render(task: Task, query: str, examples: Sequence[tuple[str, str]], summary: str = "") -> str:
    """The user message. `examples` are (text, answer), best last; texts are already on one line."""
    head = task.instruction + (f"\nAbout this person: {summary}" if summary else "")
    blocks = [f"{task.text_label}: {text}" + (f"\n{task.answer_label}: {a}" if a else "") for text, a in examples]
    blocks.append(f"{task.text_label}: {query}\n{task.answer_label}:")
    return "\n\n".join([head, *blocks])


def answer_prompt(task: Task, query: str, items: Sequence[HistoryItem], window: Window, summary: str = "") -> Prompt:
    """The prompt that answers `query` with `items` (best first) as examples.

    Truncation by rule, history first and question last: every example is clipped to `window.text_words`; while the
    prompt exceeds `window.prompt_words`, the worst example goes; if it still does not fit, the summary goes; only
    then is the question's end cut.
    """
    clipped = [clip(item.text, window.text_words) for item in items]
    examples = [(text, " ".join(item.answer.split())) for (text, _), item in zip(clipped, items, strict=True)]
    query = " ".join(query.split())
    kept = list(examples)
    while kept and _words(render(task, query, kept[::-1], summary)) > window.prompt_words:
        kept.pop()
    if _words(render(task, query, kept[::-1], summary)) > window.prompt_words:
        summary = ""
    question_cut = False
    excess = _words(render(task, query, kept[::-1], summary)) - window.prompt_words
    if excess > 0:
        query, question_cut = clip(query, max(1, _words(query) - excess))
    return Prompt(
        messages=({"role": "user", "content": render(task, query, kept[::-1], summary)},),
        examples=len(kept),
        dropped_examples=len(items) - len(kept),
        clipped_texts=sum(was_cut for (_, was_cut) in clipped[: len(kept)]),
        question_cut=question_cut,
    )


SUMMARY_INSTRUCTION = "Below are texts that one person answered. Name the answers this person gives most often."
SUMMARY_INSTRUCTION_TEXT = (
    "Below are texts that one person wrote for. Describe this person's way of writing in one line."
)


def summary_prompt(task: Task, items: Sequence[HistoryItem], window: Window) -> Prompt:
    """The prompt that asks for a profile summary (PAG) of `items`, newest last; the oldest are dropped to fit."""
    instruction = SUMMARY_INSTRUCTION_TEXT if task.kind == "generation" else SUMMARY_INSTRUCTION
    blocks = []
    for item in items:
        text, _ = clip(item.text, window.text_words)
        answer = " ".join(item.answer.split())
        blocks.append(f"{task.text_label}: {text}" + (f"\n{task.answer_label}: {answer}" if answer else ""))
    kept = list(blocks)
    while kept and _words("\n\n".join([instruction, *kept, "Summary:"])) > window.prompt_words:
        kept.pop(0)
    content = "\n\n".join([instruction, *kept, "Summary:"])
    return Prompt(({"role": "user", "content": content},), len(kept), len(blocks) - len(kept))
