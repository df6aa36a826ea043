"""From a raw answer to one number of a scale. Pure."""

import math
import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from hydra_ray.core.answers.verdict import mark, resolve_value, unmarked

_UNIT_STAR = "[★⭐🌟]\ufe0f?(?![★⭐🌟☆\ufe0f])"
"""One star alone, which after a number is its unit and no rating of 1."""
_NUMBER = re.compile(
    rf"(?<![\w.])(-?\d+(?:\.\d+)?)(?:[\s*-]*(?:stars?|points?))?(?:[ \t*]*{_UNIT_STAR})?"
    r"(?:[\s*]*\(?\s*(?:/|out of|of)[\s*]*(\d+(?:\.\d+)?))?(?!\w|\.\d)(\s*%)?"
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NAMED = "|".join(_WORDS)
_WORD = re.compile(
    rf"(?:^|(?<=[:=(]\s)|(?<=[:=(])|(?<=\bis\s)|(?<=\ba\s))({_NAMED})\b(?=[^\w\s]|\s*$)"
    rf"|\b({_NAMED})\b(?=[\s-]+(?:stars?|points?|out of)\b)",
    re.MULTILINE,
)
_STARS = re.compile("([★⭐🌟])(?:\ufe0f?\\1)*\ufe0f?(☆*)")
_UNITS = r"\b(?:stars?|points?|out of|of)\b"
_BOUNDS = re.compile(
    r"\b(?:at least|at most|more than|less than|fewer than|above|below|over|under|up to)\s+(?=[\U000f0000-\U000ffffd])"
)


def number_text(value: float) -> str:
    """A number as people write it: whole ones without a point, and none with an exponent."""
    return f"{Decimal(repr(value + 0.0)).normalize():f}"


@lru_cache(maxsize=64)
def _scale(labels: tuple[str, ...]) -> tuple[float, float, dict[float, str], re.Pattern[str]]:
    """Ends, spellings, and a pattern of the scale named as a whole ("on a scale of 1 to 5")."""
    values = {float(label): label for label in labels}
    low, high = number_text(min(values)), number_text(max(values))
    ends = rf"\b{re.escape(low)}\s*(?:to|-|–)\s*{re.escape(high)}\b"
    whole = rf"(?:\b(?:on|in|from)?\s*(?:a|the)?\s*scale\s+(?:of|from)\s+)?{ends}"
    return min(values), max(values), values, re.compile(whole)


def as_rating(labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
    """The number that the text comes to, as the scale spells it ("4.0" is "4"), "" if it comes to none.

    Numbers count as "4", "4/5" where 5 is the top of the scale, "four stars", "4 ⭐", and rows of stars; words ("four")
    only in a text without figures. A number off the scale, a percentage and one of another denominator are no rating,
    and neither is a bound ("more than 3").
    """
    low, high, spelt, whole = _scale(labels)
    text = unmarked(unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-"))
    values: list[float] = []

    def masked(value: float) -> str:
        if value not in values:
            values.append(value)
        return mark(values.index(value))

    def number(found: re.Match[str]) -> str:
        figure, top, percent = found.groups()
        if percent:
            return " "
        return masked(float(figure) if not top or float(top) == high else math.inf)

    def stars(found: re.Match[str]) -> str:
        count, empty = found.group().count(found.group(1)), len(found.group(2))
        return masked(count if not empty or count + empty == high else math.inf)

    text = _STARS.sub(stars, _NUMBER.sub(number, whole.sub(" ", text)))
    if not values:
        text = _WORD.sub(lambda found: masked(float(_WORDS.index(found.group(1) or found.group(2)))), text)
    place = resolve_value(_BOUNDS.sub("not ", text), names, _UNITS)
    if place is None or not low <= values[place] <= high:
        return ""
    return spelt.get(values[place]) or number_text(values[place])
