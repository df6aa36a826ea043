"""Free text: what the LLM wrote, less what it put around it. Pure."""

import re
from functools import lru_cache

from hydra_ray.core.answers.markup import (
    json_fields,
    unfenced,
    unquoted,
    untagged,
    without_end_tokens,
    without_thoughts,
)

_SAYS_NOTHING = "\"'`*_:.,;-= \t\n"
_KEYS = ("answer", "response", "reply", "output", "result")
_OPENER = r"(?:(?:sure|certainly|of course|absolutely|okay|ok|great|gladly)\b[^\n:]{0,40}?[!,.:]\s*)"
_HERE = r"(?:here(?:'s|’s| is| are)|below is|this is|the following is|i(?:'ve| have) (?:written|rewritten|drafted))"
_ANSWERS = "answer|reply|response|draft|version|rewrite|rewritten|paraphrase"


def free_text(answer_label: str, text_label: str, single_line: bool, text: str) -> str:
    """The answer of a generation task in what the LLM wrote: whole, or its first line for a `single_line` task.

    The names of answer and text are those of the prompt's examples.

    Off come thoughts, special tokens at the end, a fence, JSON, a chatty line before the answer ("Sure! Here is the
    headline:"), `<answer>` tags around the whole of it, and what `bare_text` takes. Where an LLM goes on with another
    example, the answer ends. A refusal is text like any other: "I'm sorry, I can't ..." may well be the mail that is
    asked for.
    """
    text = without_end_tokens(without_thoughts(text)).strip()
    name = answer_label.casefold()
    text = _of_json(name, unfenced(text))
    text = _preamble(answer_label, single_line).sub("", text)
    text = _before_next_example(answer_label, text_label, text)
    inside = untagged(text.strip(), (name, *_KEYS) if name else _KEYS)
    if inside is not None:
        return free_text(answer_label, text_label, single_line, inside)
    return bare_text(answer_label, single_line, text)


def bare_text(answer_label: str, single_line: bool, text: str) -> str:
    """A text without outer blanks, surrounding quotes or emphasis, and a leading "Headline:" (the answer's name).

    single_line: the first line that then still says something, on single blanks; a line that ends in a colon is
    skipped where another follows. Otherwise every line stays. "" if nothing is left.
    """
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip()
    label = _label(answer_label)
    if single_line:
        lines = [line for line in (_bare(label, " ".join(line.split())) for line in text.split("\n")) if line]
        if not lines:
            return ""
        return next((line for line in lines if not line.endswith((":", "："))), lines[0])
    return _bare(label, text)


def _bare(label: re.Pattern[str], text: str) -> str:
    while True:
        stripped = unquoted(text) or label.sub("", text)
        if stripped == text:
            return text if text.strip(_SAYS_NOTHING) else ""
        text = stripped


def _of_json(name: str, text: str) -> str:
    """The field called as the answer is, or the only field if that is called an answer; else the text."""
    fields = json_fields(text)
    if name in fields:
        return fields[name]
    return next(iter(fields.values())) if len(fields) == 1 and set(fields) <= set(_KEYS) else text


@lru_cache(maxsize=64)
def _label(answer_label: str) -> re.Pattern[str]:
    """A headline may well begin with "Title is", so only a colon ends the name."""
    names = "|".join(re.escape(name) for name in (answer_label, "answer") if name)
    return re.compile(rf"^[#*_]*\s*(?:the\s+|my\s+)?(?:{names})\s*[*_]*\s*[:：]\s*(?:[*_]+\s+)?", re.IGNORECASE)


@lru_cache(maxsize=64)
def _preamble(answer_label: str, single_line: bool) -> re.Pattern[str]:
    """What an LLM says before its answer: a line of its own, or before a quotation or a single line."""
    names = "|".join(re.escape(name) for name in (answer_label,) if name) + f"|{_ANSWERS}"
    end = r"\s*" if single_line else r"(?:\s*\n\s*|\s*(?=[\"“«`]))"
    return re.compile(
        rf"^{_OPENER}?{_HERE}\b[^\n:]{{0,80}}?\b(?:{names})\b[^\n:]{{0,80}}[:：]{end}(?=\S)", re.IGNORECASE
    )


def _before_next_example(answer_label: str, text_label: str, text: str) -> str:
    """Small LLMs go on with another text and its answer, as the examples of the prompt did."""
    if f"{text_label}: " not in text:
        return text
    found = _next_example(text_label, answer_label).search(text)
    return text[: found.start()] if found and text[: found.start()].strip() else text


@lru_cache(maxsize=64)
def _next_example(text_label: str, answer_label: str) -> re.Pattern[str]:
    return re.compile(rf"^{re.escape(text_label)}: .*?^{re.escape(answer_label)}:", re.DOTALL | re.MULTILINE)
