"""From what the LLM wrote to the answer that is scored.

Applied to every answer before labels, votes and metrics. Never guesses: an answer that names no label, or two, is "".
All text is compared in Unicode's composed form (NFC), golds and labels included.
"""

import unicodedata
from collections.abc import Iterable

from hydra_ray.core.answer_form import (
    KEYS,
    is_thought_only,
    marked_answer,
    unfenced,
    without_end_tokens,
    without_thoughts,
)
from hydra_ray.core.answer_label import as_label
from hydra_ray.core.answer_rating import as_rating
from hydra_ray.core.free_text import bare_text, free_text
from hydra_ray.core.tasks import Task


def texts_of(task: Task, samples: Iterable[str | None]) -> list[str]:
    """The answers in raw samples, normalised; missing samples and those that hold no answer are left out."""
    return [answer for answer in (normalise(task, sample) for sample in samples) if answer]


def normalise(task: Task, text: str | None) -> str:
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
    text = unicodedata.normalize("NFC", text)
    if task.kind == "generation":
        return _settled(task, text)
    names = tuple(dict.fromkeys(name.casefold() for name in (task.answer_label, *KEYS) if name))
    text = _before_next_example(task, without_end_tokens(without_thoughts(text)).strip())
    marked = marked_answer(text, names)
    text = (unfenced(text) if marked is None else marked).replace("```", "\n")
    return as_label(task.labels, text, names) if task.kind == "classification" else as_rating(task.labels, text, names)


def _settled(task: Task, text: str) -> str:
    """Free text once nothing more comes off it: a thought may stand in quotes, or behind another."""
    while (shorter := free_text(task, text)) != text:
        text = shorter
    return text


def _before_next_example(task: Task, text: str) -> str:
    """Small LLMs go on with another text to label, as the examples of the prompt did."""
    lines = text.splitlines()
    again = (i for i, line in enumerate(lines) if line.startswith(f"{task.text_label}:") and any(lines[:i]))
    return "\n".join(lines[: next(again, len(lines))])


def is_label(task: Task, answer: str) -> bool:
    """Whether a normalised answer is one of the task's labels; for generation, whether it is not empty."""
    return bool(answer) if task.kind == "generation" else answer in task.labels


def normalise_gold(task: Task, gold: str) -> str:
    """The gold answer in the form that `normalise` gives; a gold that is none of the labels stays as it is written.

    So an answer of no label ("") never equals a gold. Free text loses nothing but what is no part of it (`bare_text`).
    """
    gold = unicodedata.normalize("NFC", gold)
    if task.kind == "generation":
        return bare_text(task, gold) or gold.strip()
    return normalise(task, gold) or " ".join(gold.split())


def is_unusable(text: str | None) -> bool:
    """Whether a raw answer is missing, or holds a reasoning model's thoughts and nothing else."""
    return text is None or is_thought_only(text)


def is_match(task: Task, gold: str, answer: str | None) -> bool:
    """Whether an answer, raw or normalised, is the gold one."""
    found = normalise(task, answer)
    return found != "" and found == normalise_gold(task, gold)
