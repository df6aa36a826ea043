"""How many tokens a text takes: a conservative estimate for models whose tokenizer is not at hand. Pure."""

import re
from collections.abc import Callable

TokenCounter = Callable[[str], int]
"""Text to a number of tokens, special tokens not counted."""

_PIECE = re.compile(r"[A-Za-z0-9]{17,}|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|\n+|\s+|[^\sA-Za-z0-9]", re.ASCII)
_TWO_BYTES = 0x800
_CJK = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uac00", "\ud7a3"), ("\uff00", "\uffef"), ("\u3000", "\u303f"))
_PUNCTUATION = ("\u2010", "\u206f")


def estimate_tokens(text: str) -> int:
    """At least as many tokens as common byte-pair tokenizers make of `text`, in any script.

    English comes out about a third above Qwen2.5's counts. A word of letters counts one token and one more for every
    four letters after the first; a longer run (an id, a key) three tokens for five letters, or one a character where
    digits or cases mix; digits and punctuation one each; other scripts one to three a character, after what tokenizers
    trained mostly on English need. Never more than the UTF-8 bytes.
    """
    return sum(_tokens_of(piece) for piece in _PIECE.findall(text))


def _tokens_of(piece: str) -> int:
    first = piece[0]
    if first.isascii():
        if len(piece) > 16 and piece.isalnum():
            plain = piece.isalpha() and (piece[1:].islower() or piece.isupper())
            return -(-3 * len(piece) // 5) if plain else len(piece)
        if first.isalpha():
            return 1 + (len(piece) - 1) // 4
        if first == " ":
            return 0 if len(piece) == 1 else 1 + len(piece) // 16
        return len(piece)  # digits, line breaks, other blanks, punctuation
    if ord(first) < _TWO_BYTES or _PUNCTUATION[0] <= first <= _PUNCTUATION[1]:
        return 1
    if any(low <= first <= high for low, high in _CJK):
        return 2
    return len(first.encode(errors="replace"))


def truncate_to_tokens(text: str, limit: int, count: TokenCounter) -> tuple[str, bool]:
    """The longest beginning of `text` of at most `limit` tokens, and whether anything was cut.

    Cuts between words where a word fits, else within the first word, so that a text without blanks is cut as well.
    """
    if count(text) <= limit:
        return text, False
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    kept = _longest(text, ends, limit, count)
    return (kept or _longest(text, list(range(1, (ends or [0])[0])), limit, count)), True


def _longest(text: str, ends: list[int], limit: int, count: TokenCounter) -> str:
    """The longest of the beginnings that stop at `ends` (ascending) within `limit` tokens; "" if none is."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[: ends[middle - 1]]) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[: ends[low - 1]] if low else ""
