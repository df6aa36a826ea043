"""A training sequence: a prompt exactly as `core.prompts` makes it, its answers, and which tokens are answers."""

import re
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.core.prompts import PromptBudget, answer_prompt, summary_prompt
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem

IGNORE = -100


@dataclass(frozen=True, slots=True)
class Hint:
    """What the generator knows of one answered text: every aspect's value, and the aspect that decided.

    values: value per aspect. aspect: the user's decisive aspect. slot: which phrase of the text the user's headlines
    are built on (0 for other tasks).
    """

    values: tuple[int, ...]
    aspect: int
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """Text to learn from: the prompt, the answer that continues it (with its leading space), hints per answered text.

    label: the answer label, whose lines "label: answer" within the prompt are answers as well.
    """

    prompt: str
    answer: str
    label: str
    hints: tuple[Hint, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised document, T tokens.

    ids: [T], beginning with bos. targets: [T], what each token must predict; after the last token of every answer it is
    eos. is_answer: [T], whether the target belongs to an answer. asks: positions that predict an answer's first token;
    tells: positions of an answer's last token (both in order of the answers).
    """

    ids: list[int]
    targets: list[int]
    is_answer: list[bool]
    asks: list[int] = field(default_factory=list)
    tells: list[int] = field(default_factory=list)


def count_words(text: str) -> int:
    """Words, for prompts that are made before there is a tokenizer."""
    return len(text.split())


BUDGET = PromptBudget(item_tokens=128, prompt_tokens=1024, count=count_words, exact=True)


def answer_document(
    task: Task,
    query: HistoryItem,
    items: Seq[HistoryItem],
    budget: PromptBudget = BUDGET,
    summary: str = "",
    hints: tuple[Hint, ...] = (),
) -> Document:
    """The document in which `query` is answered after `items` (best first, as in `answer_prompt`)."""
    prompt = answer_prompt(task, query.text, items, budget, summary)
    answer = " ".join(query.answer.split())
    return Document(prompt.messages[0]["content"], f" {answer}", task.answer_label, hints, task.name)


def favourites(task: Task, items: Seq[HistoryItem], most: int = 3) -> str:
    """What a summary says: the person's most frequent answers, most frequent first, the newest first among equals.

    For generation it is the newest answer as a whole, the best one-line picture of a style there is.
    """
    if not task.closed:
        return " ".join(items[-1].answer.split()) if items else ""
    counts: dict[str, int] = {}
    for item in reversed(items):
        counts[item.answer] = counts.get(item.answer, 0) + 1
    ranked = sorted(counts, key=lambda answer: -counts[answer])
    return "answers: " + ", ".join(ranked[:most])


def summary_document(task: Task, items: Seq[HistoryItem], budget: PromptBudget = BUDGET) -> Document:
    """The document that answers `summary_prompt` with the person's favourites."""
    prompt = summary_prompt(task, items, budget)
    return Document(prompt.messages[0]["content"], f" {favourites(task, items)}", "", (), "summary")


def tokenise(documents: Seq[Document], tokenizer: Any, window: int) -> list[Tokens]:
    """Tokens of each document, cut at `window` tokens (the beginning is kept, a cut document has fewer answers)."""
    texts = [d.prompt + d.answer for d in documents]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    return [
        _tokens(document, text, ids, offsets, tokenizer, window)
        for document, text, ids, offsets in zip(
            documents, texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    ]


def _spans(document: Document, text: str) -> list[tuple[int, int]]:
    """Character spans of the answers, leading space included."""
    spans = []
    if document.label:
        pattern = re.compile(rf"\n{re.escape(document.label)}:( [^\n]+)")
        spans = [match.span(1) for match in pattern.finditer(document.prompt)]
    return [*spans, (len(document.prompt), len(text))]


def _tokens(
    document: Document, text: str, ids: list[int], offsets: list[tuple[int, int]], tokenizer: Any, window: int
) -> Tokens:
    ids, offsets = ids[: window - 1], offsets[: window - 1]
    all_ids = [tokenizer.bos_token_id, *ids]
    targets = [*ids, IGNORE]
    is_answer = [False] * len(all_ids)
    asks, tells = [], []
    token = 0
    for start, end in _spans(document, text):
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        first = token
        while token < len(offsets) and offsets[token][1] <= end:
            token += 1
        if token == first or (token == len(offsets) and offsets[-1][1] < end):
            break
        # Token i of the text stands at i + 1 because of bos; position i predicts it.
        for position in range(first, token + 1):
            is_answer[position] = True
        targets[token] = tokenizer.eos_token_id
        asks.append(first)
        tells.append(token)
    return Tokens(all_ids, targets, is_answer, asks, tells)
