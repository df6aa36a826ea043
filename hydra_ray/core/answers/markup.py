"""What LLMs put around an answer: thoughts, fences, JSON, tags, quotes, a leading label. Pure functions of text."""

import json
import re
from functools import lru_cache
from typing import Any

_NAMES = "think|thinking|thought|reasoning"
_OPEN = rf"(?:<(?:{_NAMES})>|\[think\]|◁think▷|<\|channel\|>(?!final))"
_CLOSE = rf"(?:</(?:{_NAMES})>|\[/think\]|◁/think▷|<\|channel\|>final(?:<\|message\|>)?)"
_CLOSED_THOUGHT = re.compile(rf"{_OPEN}.*?{_CLOSE}", re.DOTALL | re.IGNORECASE)
_OPENING, _CLOSING = re.compile(_OPEN, re.IGNORECASE), re.compile(rf".*{_CLOSE}", re.DOTALL | re.IGNORECASE)
_END_TOKENS = re.compile(r"(?:\s*(?:<\|[a-z_]+\|>|</s>|<eos>|<end_of_turn>))+\s*\Z", re.IGNORECASE)
_FENCED = re.compile(r"\A```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```\Z", re.DOTALL)
_OBJECT = re.compile(r"\{[^{}]*\}")
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}+")
_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "«": "»",
    "「": "」",
    "『": "』",
    "**": "**",
    "*": "*",
    "__": "__",
}
_KEYS = (
    "answer", "label", "tag", "category", "class", "classification", "choice", "option", "rating", "score", "value",
    "prediction", "output", "result", "response", "verdict",
)  # fmt: skip
"""What an answer is called where a task's own name for it is not used."""


@lru_cache(maxsize=64)
def answer_names(answer_label: str) -> tuple[str, ...]:
    """What the answer of a closed task may be called, casefolded, the task's own name first."""
    return tuple(dict.fromkeys(name.casefold() for name in (answer_label, *_KEYS) if name))


def without_thoughts(text: str) -> str:
    """The text less what a reasoning model thought: closed blocks, all before a lone closing tag, all after an opening
    one that never closes."""
    if "<" not in text and "[" not in text and "◁" not in text:
        return text
    text = _CLOSED_THOUGHT.sub("", text)
    text = _CLOSING.sub("", text)
    opening = _OPENING.search(text)
    return text[: opening.start()] if opening else text


def is_thought_only(text: str) -> bool:
    """Whether a raw answer holds thoughts and nothing else, as when the budget ends before the thoughts do."""
    return bool(text.strip()) and not without_thoughts(text).strip()


def without_end_tokens(text: str) -> str:
    """The text less the special tokens that some servers leave at its end."""
    return _END_TOKENS.sub("", text) if text.rstrip().endswith(">") else text


def unfenced(text: str) -> str:
    """The inside of a text that is one fenced block of Markdown; else the text."""
    found = _FENCED.match(text)
    return found.group(1) if found and "```" not in found.group(1) else text


def unquoted(text: str) -> str:
    """The inside of quotes or emphasis around the whole text, "" if there are none."""
    for opening, closing in _QUOTES.items():
        inner = text[len(opening) : len(text) - len(closing)]
        if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening) + len(closing):
            return "" if closing in inner else inner.strip()
    return ""


def json_fields(text: str) -> dict[str, str]:
    """The fields of a text that is one JSON object, names casefolded, values as text; none if it is no such object."""
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key).casefold(): _scalar(value) for key, value in found.items()}


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(_scalar(part) for part in value)
    if value is None or isinstance(value, dict):
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def marked_answer(text: str, names: tuple[str, ...]) -> str | None:
    r"""What stands in a JSON object, in `<answer>` tags or in \boxed{} anywhere in the text; None if nothing does.

    Different answers are joined by "or", so that they count as several.
    """
    found = [_of_object(json_fields(each), names) for each in _OBJECT.findall(text)] if "{" in text else []
    found += [inner for _, inner in _tagged(names).findall(text)] if "</" in text else []
    found += _BOXED.findall(text) if "\\boxed" in text else []
    given = list(dict.fromkeys(each.strip() for each in found if each is not None))
    return " or ".join(given) if given else None


def untagged(text: str, names: tuple[str, ...]) -> str | None:
    """The inside of one pair of tags of these names around the whole text, None if there is none."""
    found = _tagged(names).fullmatch(text) if text.endswith(">") else None
    if found is None or f"</{found.group(1)}>".casefold() in found.group(2).casefold():
        return None
    return found.group(2)


def _of_object(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The only field, or the one called by the first of `names` that is there."""
    if len(fields) == 1:
        return next(iter(fields.values()))
    return next((fields[name] for name in names if name in fields), None)


@lru_cache(maxsize=64)
def _tagged(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"<({'|'.join(map(re.escape, names))})>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
