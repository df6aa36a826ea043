"""From a raw answer to one label of a closed list. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial

from hydra_ray.core.answers.verdict import mark, resolve_value, unmarked
from hydra_ray.core.unicode_words import letter_mark

_NO_BLANKS = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"


@lru_cache(maxsize=1)
def _separators() -> re.Pattern[str]:
    return re.compile(rf"(?:(?!{letter_mark()})[\W_])+")


def plain(text: str) -> str:
    """Caseless words alone: what two spellings of a label have in common."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("&", " and ")
    return _separators().sub(" ", text).strip()


@lru_cache(maxsize=64)
def _forms(labels: tuple[str, ...]) -> tuple[dict[str, str], re.Pattern[str], Callable[[str], str], bool]:
    """Form -> label, a pattern that finds forms (longest first), what makes a text's form, and whether case counts.

    Forms are found as whole words; a script without blanks has no words to be whole, but its letters have their marks.
    Labels that the plain form cannot tell apart ("c" and "c++") are compared as they are written, case aside; those
    that then are still one ("IT" and "it") with their case. Where there are none of these, the text is casefolded.
    """
    form_of: Callable[[str], str] = plain
    forms = {plain(label): label for label in labels}
    is_plain = len(forms) == len(labels) and "" not in forms
    cased: set[str] = set()
    if not is_plain:
        cased = {form for form, times in Counter(map(_written, labels)).items() if times > 1}
        form_of = partial(_written, cased=frozenset(cased))
        forms = {form_of(label): label for label in labels}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    found = "|".join(
        f"(?i:{re.escape(form)})" if cased and form.casefold() not in cased else _found_as(form, is_plain)
        for form in longest_first
    )
    before = rf"(?:(?={_NO_BLANKS})|(?<![^\W_])(?<!{letter_mark()}))"
    after = rf"(?!{letter_mark()})(?:(?<={_NO_BLANKS})|(?![^\W_]))"
    return forms, re.compile(f"{before}(?:{found}){after}"), form_of, bool(cased)


def _written(text: str, cased: frozenset[str] = frozenset()) -> str:
    """Caseless, but for the words in `cased`."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text if text.casefold() in cased else text.casefold()


def _found_as(form: str, is_plain: bool) -> str:
    """The pattern of one form."""
    if not is_plain:
        return re.escape(form)
    words = [r"(?:and|&)" if word == "and" else re.escape(word) for word in form.split()]
    return r"[\W_]*".join(words) if "(?:and|&)" in words else r"[\W_]+".join(words)


def as_label(labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
    """The label that the text comes to, "" if it comes to none (see `hydra_ray.core.answers.verdict.resolve_value`).

    Labels are found as whole words, ignoring case (unless labels differ in it alone), Unicode form, punctuation,
    hyphens, underscores and "&" against "and"; the longest first ("dark comedy" is not also "comedy").
    """
    forms, pattern, form_of, case_counts = _forms(labels)
    exact = forms.get(form_of(text))
    if exact is not None:
        return exact
    places = {label: place for place, label in enumerate(labels)}

    def masked(found: re.Match[str]) -> str:
        label = forms.get(form_of(found.group()))
        return mark(places[label]) if label is not None else found.group()

    text = unmarked(unicodedata.normalize("NFKC", text))
    place = resolve_value(pattern.sub(masked, text if case_counts else text.casefold()).casefold(), names)
    return "" if place is None else labels[place]
