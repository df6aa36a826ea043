"""Words of a text in any script: Unicode words, and single characters where a script writes no blanks. Pure."""

import re
import unicodedata
from functools import lru_cache

_NO_BLANKS = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\U0001b000-\U0001b16f"  # Hiragana, Katakana, Han numerals
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
)
_ASCII = re.compile(r"[a-z0-9]+")
_PLAIN = re.compile(r"[^\W_]+")
_LAST_MARK = 0x1F000
"""No combining mark is assigned from here on, but the variation selectors."""
_ON_SYMBOLS = "\ufe00-\ufe0f\u20dd-\u20e0\u20e2-\u20e4"
"""Variation selectors and enclosing marks: what emoji consist of besides their symbol."""


@lru_cache(maxsize=1)
def _marks() -> str:
    """All combining marks, as ranges for a pattern. They are listed on first use (10 ms)."""
    marks = [code for code in range(0x300, _LAST_MARK) if unicodedata.category(chr(code))[0] == "M"]
    runs: list[list[int]] = []
    for code in marks:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in runs) + "\U000e0100-\U000e01ef"


@lru_cache(maxsize=1)
def letter_mark() -> str:
    """The pattern of a combining mark that is part of a letter: none of those that only emoji have."""
    return f"(?![{_ON_SYMBOLS}])[{_marks()}]"


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Words, characters of scripts without blanks, and what makes a text need these patterns.

    Combining marks belong to the letter before them, which Python's `\\w` does not know. Only text beyond ASCII has
    any.
    """
    marked = _marks()
    character = rf"(?![{marked}])(?=\w)[{_NO_BLANKS}][{marked}]*"
    letter = rf"(?![{_NO_BLANKS}])[^\W_][{marked}]*"
    return re.compile(rf"{character}|(?:{letter})+"), re.compile(character), re.compile(f"[{_NO_BLANKS}{marked}]")


def unicode_words(text: str) -> tuple[str, ...]:
    """The words of a text, caseless and in Unicode's compatibility form (NFKC).

    Runs of letters and digits with their combining marks; Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar by
    characters. For ASCII text these are LaMP's words, the runs of `[a-z0-9]`.
    """
    if text.isascii():
        return tuple(_ASCII.findall(text.lower()))
    text = unicodedata.normalize("NFKC", text).casefold()
    words, _, special = _patterns()
    return tuple((words if special.search(text) else _PLAIN).findall(text))


def spaced(text: str) -> str:
    """The text with blanks around each character of a script that writes none."""
    if text.isascii():
        return text
    return _patterns()[1].sub(lambda found: f" {found.group()} ", text)
