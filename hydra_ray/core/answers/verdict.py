"""Which value an answer comes to where an LLM wrote more than the value: one or none, never a guess between two. Pure.

The values that are mentioned (labels, or numbers) stand in the text as private characters, one per value (`mask`), so
that a label's own words ("not spam", "no") are never read as the sentence's. The text is read by sentences:

    bare       nothing but the value: "billing.", "1. **billing**"
    announced  "Tag: billing", "The answer is billing", "So I would say billing"; `final` for "Final answer: billing"
    mentioned  any other sentence
    denied     "not billing", "billing is not right", "I cannot tell whether it is billing"; counts for nothing

The final one decides, else the announced, else the bare, else those mentioned; each only if it is one value.
"""

import re
from functools import lru_cache

FIRST = 0xF0000
"""The private character of the first value (plane 15: 65,534 of them)."""
_VALUE = re.compile("[\U000f0000-\U000ffffd]")
_SENTENCE = re.compile(r"[\n\r]+|(?<=[.!?;])\s+|(?<=[。！？；])")
_CLAUSE = re.compile(r"[,:()–—，：（）、]|\b(?:because|since|but|although|though|while|as)\b")
_NEGATION = re.compile(
    r"\b(?:not|no|non|never|neither|nor|none|cannot|without|unable|unlikely|hardly|rather than|instead of|other than"
    r"|except|wrong|incorrect|nicht|keine?[nmrs]?|weder|pas|не|ни)\b|n't\b|\bdont\b|不|没|沒|非|ではな|じゃな|아니"
)
_NO_NEGATION = re.compile(r"\b(?:without (?:a |any )?doubt|no doubt|no question|not only)\b")
_REFUSAL = re.compile(
    r"\W*(?:(?:i'?m|i am) (?:so |very |really )?(?:sorry|unable|afraid)|sorry\b|apologies\b|my apologies|i apologi[sz]e"
    r"|unfortunately\b|as an ai\b|i (?:can't|cannot|can not|won't|don't|do not|am not able)\b)"
)
_FINAL = re.compile(r"\W*(?:(?:so|thus|therefore|hence)\W+)?(?:(?:the|my)\s+)?(?:final|correct)\s")
_CONCLUSION = re.compile(
    r"\W*(?:so|thus|therefore|hence|overall|finally|in conclusion|conclusion|in short)\b"
    r"|\W*i(?:'d| would| will|'ll)?\s+"
    r"(?:say|choose|pick|select|go with|tag|label|classify|categori[sz]e|assign|give|rate)\b"
)
_SECOND_THOUGHT = re.compile(
    r"\W*(?:or|but|no|hmm|wait|actually|rather|alternatively|also|and|maybe|perhaps|instead)\b"
)
_MARKER = re.compile(r"\W*(?:\(?\d{1,2}[.)]|step \d+:)\s+(?=\S)")


def mark(value: int) -> str:
    """The private character of a value."""
    return chr(FIRST + value)


def unmarked(text: str) -> str:
    """The text without private characters, so that `mark` can be read back."""
    return _VALUE.sub("", text)


def resolve_value(masked: str, names: tuple[str, ...], units: str = "") -> int | None:
    """The value that a masked text comes to, None if it comes to none, or to more than one.

    masked: casefolded, values as private characters. names: what an answer is called ("tag", "answer"), casefolded.
    units: a pattern of what may follow a value and says nothing ("stars").
    """
    final: list[int] = []
    announced: list[int] = []
    bare: list[int] = []
    mentioned: list[int] = []
    denied: set[int] = set()
    doubted: set[int] = set()
    masked = masked.replace("\u2019", "'")
    for sentence in _SENTENCE.split(masked):
        found = [ord(each) - FIRST for each in _VALUE.findall(sentence)]
        if not found:
            continue
        rest = _MARKER.sub("", _VALUE.sub("", sentence), count=1)
        if not re.search(r"[^\W_]", re.sub(units, "", rest) if units else rest):
            bare += found
        elif _is_denied(sentence):
            denied |= set(found)
        elif sentence.rstrip().endswith(("?", "？")):
            continue
        else:
            announcement = _announcement(names).match(sentence)
            if _SECOND_THOUGHT.match(sentence) and not announcement:
                doubted |= set(found)
            if announcement and _FINAL.match(sentence):
                final = found
            elif announcement or _CONCLUSION.match(sentence):
                announced += found
            mentioned += found
    if final:
        return _only(final)
    if announced:
        one = _only(announced)
        return one if one not in denied and (len(set(bare)) != 1 or one in bare) else None
    if not bare and _REFUSAL.match(masked):
        return None
    one = _only(bare or mentioned)
    return one if one not in denied and not doubted - {one} else None


def _only(values: list[int]) -> int | None:
    return values[0] if len(set(values)) == 1 else None


def _is_denied(sentence: str) -> bool:
    clauses = _CLAUSE.split(_NO_NEGATION.sub("", sentence))
    return any(_VALUE.search(clause) and _NEGATION.search(clause) for clause in clauses)


@lru_cache(maxsize=64)
def _announcement(names: tuple[str, ...]) -> re.Pattern[str]:
    """What stands before a value: "Tag:", "The most likely tag is", "Category for this text =".

    The names are matched from their longest on; up to three words may come before them.
    """
    called = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(
        rf"\W*(?:(?:so|thus|therefore|hence|overall)\W+)?(?:(?:the|my|your|this|its|a|an)\s+)?(?:[\w-]+\s+){{0,3}}?"
        rf"(?:{called})\W*?(?:\s+(?:for|of|to|in|here|that)\b[^:=\U000f0000-\U000ffffd]{{0,60}}?)?\s*"
        r"(?:[:：=]|->|→|⇒|\b(?:is|would be|should be|will be|must be)\b)"
    )
