"""From what the LLM wrote to the answer that is scored.

Applied to every answer before labels, votes and metrics. Never guesses: an answer that names no label, or two, is "".
All text is compared in Unicode's composed form (NFC), golds and labels included.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from hydra_ray.core.answers.free_text import bare_text, free_text
from hydra_ray.core.answers.label import as_label
from hydra_ray.core.answers.markup import (
    answer_names,
    is_thought_only,
    marked_answer,
    unfenced,
    without_end_tokens,
    without_thoughts,
)
from hydra_ray.core.answers.rating import as_rating
from hydra_ray.core.tasks import Task

_KEPT = 8192
"""Answers whose reading is kept: metrics, votes and tables read the same ones."""


def parsed_texts(task: Task, samples: Iterable[str | None]) -> list[str]:
    """The answers in raw samples, normalised; missing samples and those that hold no answer are left out."""
    return [answer for answer in (parse_answer(task, sample) for sample in samples) if answer]


def parse_answer(task: Task, text: str | None) -> str:
    """The scored answer in a raw answer of the LLM; "" if there is none. Applying it twice changes nothing.

    All tasks: thoughts go (`<think>`, also one that never closes), fences, tags and JSON around the answer, too.
    classification: the label that the answer comes to: the only one that stands alone, or that is announced ("The tag
    is ..."), or that is spoken of; ignoring case, punctuation, hyphens and "&" against "and". "" for a refusal, a
    denial ("not billing"), or two labels.
    rating: in the same way a number of the scale ("Score: 4.0" -> "4", "4/5" where 5 is the top of the scale, "3.5",
    "four stars"); "" for several numbers, another denominator, or one off the scale.
    generation: the text with all its lines, or its first line for a `single_line` task (`free_text`).
    """
    if not text:
        return ""
    if text in task.labels:
        return text
    if task.kind == "generation":
        return _free_answer(task.answer_label, task.text_label, task.single_line, text)
    return _closed_answer(task.kind, task.labels, task.answer_label, task.text_label, text)


@lru_cache(maxsize=_KEPT)
def _free_answer(answer_label: str, text_label: str, single_line: bool, text: str) -> str:
    """Free text once nothing more comes off it: a thought may stand in quotes, or behind another."""
    text = unicodedata.normalize("NFC", text)
    while (shorter := free_text(answer_label, text_label, single_line, text)) != text:
        text = shorter
    return text


@lru_cache(maxsize=_KEPT)
def _closed_answer(kind: str, labels: tuple[str, ...], answer_label: str, text_label: str, text: str) -> str:
    names = answer_names(answer_label)
    text = without_end_tokens(without_thoughts(unicodedata.normalize("NFC", text))).strip()
    text = _before_next_example(text_label, text)
    marked = marked_answer(text, names)
    text = (unfenced(text) if marked is None else marked).replace("```", "\n")
    return as_label(labels, text, names) if kind == "classification" else as_rating(labels, text, names)


def _before_next_example(text_label: str, text: str) -> str:
    """Small LLMs go on with another text to label, as the examples of the prompt did."""
    if f"{text_label}:" not in text:
        return text
    lines = text.splitlines()
    again = (i for i, line in enumerate(lines) if line.startswith(f"{text_label}:") and any(lines[:i]))
    return "\n".join(lines[: next(again, len(lines))])


def is_label(task: Task, answer: str) -> bool:
    """Whether a normalised answer is one of the task's labels; for generation, whether it is not empty."""
    return bool(answer) if task.kind == "generation" else answer in task.labels


def parse_gold(task: Task, gold: str) -> str:
    """The gold answer in the form that `parse_answer` gives; a gold that is none of the labels stays as it is written.

    So an answer of no label ("") never equals a gold. Free text loses nothing but what is no part of it (`bare_text`).
    """
    gold = unicodedata.normalize("NFC", gold)
    if task.kind == "generation":
        return bare_text(task.answer_label, task.single_line, gold) or gold.strip()
    return parse_answer(task, gold) or " ".join(gold.split())


def is_unusable(text: str | None) -> bool:
    """Whether a raw answer is missing, or holds a reasoning model's thoughts and nothing else."""
    return text is None or is_thought_only(text)


def matches_gold(task: Task, gold: str, answer: str | None) -> bool:
    """Whether an answer, raw or normalised, is the gold one."""
    found = parse_answer(task, answer)
    return found != "" and found == parse_gold(task, gold)
