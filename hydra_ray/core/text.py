"""From what the LLM wrote to the answer that is scored.

Applied to every answer before labels, votes and metrics. Never guesses: an answer that names no label, or two, is "".
"""

import math
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from hydra_ray.core.tasks import Task

_THOUGHT = re.compile(r"^\s*<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "«": "»",
    "**": "**",
    "*": "*",
    "__": "__",
}
_NUMBER = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+(?:\.\d+)?))?(?![\w]|\.\d)", re.IGNORECASE)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LEADING_WORD = re.compile(rf"^({'|'.join(_WORDS)})\b(?!\s+of\b)", re.IGNORECASE)


def texts_of(task: Task, samples: Iterable[str | None]) -> list[str]:
    """The answers in raw samples, normalised; missing samples and those that hold no answer are left out."""
    return [answer for answer in (normalise(task, sample) for sample in samples) if answer]


def normalise(task: Task, text: str | None) -> str:
    """The scored answer in a raw answer of the LLM; "" if there is none. Applying it twice changes nothing.

    All tasks: a leading `<think>` block goes; then the first line that still says something once the task's answer
    label ("Tag:", "The tag is") and surrounding quotes or emphasis are removed.
    classification: the label that the line equals, ignoring case, punctuation, hyphens and "&" against "and"; else the
    only label that it contains as whole words ("dark comedy" is not also "comedy"); else "".
    rating: the only number on the line ("Score: 4.0" -> "4", "4/5" where 5 is the top of the scale, "3.5"), or a number
    word that the line starts with ("Four stars"); "" for several numbers, another denominator, or one off the scale.
    generation: the line itself, on single spaces.
    """
    if not text:
        return ""
    if text in task.labels:
        return text
    line, before = _first_line(task, _THOUGHT.sub("", text)), text
    while line != before:  # a thought may stand in quotes, or behind another
        line, before = _first_line(task, _THOUGHT.sub("", line)), line
    if task.kind == "classification":
        return _as_label(task.labels, line)
    if task.kind == "rating":
        return _as_rating(task.labels, line)
    return line


def is_label(task: Task, answer: str) -> bool:
    """Whether a normalised answer is one of the task's labels; for generation, whether it is not empty."""
    return bool(answer) if task.kind == "generation" else answer in task.labels


def normalise_gold(task: Task, gold: str) -> str:
    """The gold answer in the form that `normalise` gives; a gold that is none of the labels stays as it is written.

    So an answer of no label ("") never equals a gold.
    """
    return normalise(task, gold) or " ".join(gold.split())


def is_match(task: Task, gold: str, answer: str | None) -> bool:
    """Whether an answer, raw or normalised, is the gold one."""
    found = normalise(task, answer)
    return found != "" and found == normalise_gold(task, gold)


@lru_cache(maxsize=64)
def _prefix(answer_label: str, free_text: bool) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in (answer_label, "answer") if name)
    link = ":" if free_text else r"(?::|=|\bis\b:?)"  # a headline may well begin with "Title is"
    return re.compile(rf"^(?:the\s+|my\s+)?(?:{names})\s*{link}\s*", re.IGNORECASE)


def _unquote(line: str) -> str:
    for opening, closing in _QUOTES.items():
        inner = line[len(opening) : len(line) - len(closing)]
        if line.startswith(opening) and line.endswith(closing) and len(line) > len(opening) + len(closing):
            return "" if closing in inner else inner.strip()
    return ""


def _first_line(task: Task, text: str) -> str:
    """The first line that is not empty without prefix and quotes, which may be nested in one another."""
    prefix = _prefix(task.answer_label, task.kind == "generation")
    for raw in text.splitlines():
        line = " ".join(raw.split())
        while True:
            stripped = prefix.sub("", line) if prefix.match(line) else _unquote(line) or line
            if stripped == line:
                break
            line = stripped
        if line.strip("\"'`*_:.,;-= "):
            return line
    return ""


def _plain(text: str) -> str:
    """Lower-case words alone: what two spellings of a label have in common."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("&", " and ")
    return " ".join(re.sub(r"[^\w]+", " ", text).split())


@lru_cache(maxsize=64)
def _label_forms(labels: tuple[str, ...]) -> tuple[dict[str, str], re.Pattern[str], bool]:
    """Form -> label, a pattern that finds forms (longest first), and whether the forms are the plain ones.

    Labels that the plain form cannot tell apart ("c" and "c++") are compared as they are written, case aside.
    """
    plain = {_plain(label): label for label in labels}
    is_plain = len(plain) == len(labels) and "" not in plain
    forms = plain if is_plain else {" ".join(label.casefold().split()): label for label in labels}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(form) for form in longest_first)})(?!\w)")
    return forms, pattern, is_plain


def _as_label(labels: tuple[str, ...], line: str) -> str:
    if line in labels:
        return line
    forms, pattern, is_plain = _label_forms(labels)
    form = _plain(line) if is_plain else " ".join(line.casefold().split())
    found = {form} if form in forms else set(pattern.findall(form))
    return forms[found.pop()] if len(found) == 1 else ""


@lru_cache(maxsize=64)
def _scale(labels: tuple[str, ...]) -> tuple[float, float, dict[float, str]]:
    values = {float(label): label for label in labels}
    return min(values), max(values), values


def _as_rating(labels: tuple[str, ...], line: str) -> str:
    low, high, names = _scale(labels)
    if line in labels:
        return line
    numbers = set(_NUMBER.findall(line))
    if not numbers:
        word = _LEADING_WORD.match(line)
        numbers = {(str(_WORDS.index(word.group(1).lower())), "")} if word else set()
    values = {float(number) if not top or float(top) == high else math.nan for number, top in numbers}
    if len(values) != 1:
        return ""
    value = values.pop()
    if not low <= value <= high:
        return ""
    return names.get(value) or f"{value:g}"
