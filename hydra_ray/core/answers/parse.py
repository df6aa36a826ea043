"""From what the LLM wrote to the answer that is scored.

Applied to every answer before labels, votes and metrics. Never guesses: an answer that names no label, or two, is "".
All text is compared in Unicode's composed form (NFC), golds and labels included.
"""

import unicodedata
from collections.abc import Iterable

from hydra_ray.core.answers.markup import is_thought_only
from hydra_ray.core.tasks import Task


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
    return task.rules.parse(task, text) if text else ""


def is_label(task: Task, answer: str) -> bool:
    """Whether a normalised answer is one of the task's labels; for generation, whether it is not empty."""
    return task.rules.is_answer(task, answer)


def parse_gold(task: Task, gold: str) -> str:
    """The gold answer in the form that `parse_answer` gives; a gold that is none of the labels stays as it is written.

    So an answer of no label ("") never equals a gold. Free text loses nothing but what is no part of it (`bare_text`).
    """
    return task.rules.parse_gold(task, unicodedata.normalize("NFC", gold)) if gold else ""


def is_unusable(text: str | None) -> bool:
    """Whether a raw answer is missing, or holds a reasoning model's thoughts and nothing else."""
    return text is None or is_thought_only(text)


def matches_gold(task: Task, gold: str, answer: str | None) -> bool:
    """Whether an answer, raw or normalised, is the gold one."""
    found = parse_answer(task, answer)
    return found != "" and found == parse_gold(task, gold)
