"""ROUGE-1 and ROUGE-L F-measures (Lin, 2004) of one text against one gold text, fast enough for 10^5 calls.

Words are seen in one of two ways (`Task.rouge`):

    lamp     runs of ASCII letters and digits, as LaMP is scored. Equal to `rouge_score`'s RougeScorer(["rouge1",
             "rougeL"], use_stemmer=False) to the last bit, which a test checks. Sees no word in other scripts.
    unicode  the same for ASCII text; words of every script, by characters where a script writes no blanks
             (`hydra_ray.core.unicode_words`).

No stemmer: the default of the `evaluate` library, through which LaMP is scored. `rouge_score` fills the table of the
longest common subsequence in Python, here it is computed on bits.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import Literal

from hydra_ray.core.unicode_words import unicode_words

RougeTokens = Literal["lamp", "unicode"]
"""How words are seen."""

_TOKEN = re.compile(r"[a-z0-9]+")


@lru_cache(maxsize=4096)
def tokens(text: str, how: RougeTokens) -> tuple[str, ...]:
    """The words of a text, caseless."""
    return unicode_words(text) if how == "unicode" else tuple(_TOKEN.findall(text.lower()))


WORDS_SEEN: dict[RougeTokens, str] = {
    "lamp": "runs of ASCII letters and digits (`rouge: lamp`, as LaMP is scored)",
    "unicode": "those of every script, by characters where a script writes no blanks (`rouge: unicode`)",
}
"""How words are seen, in words."""


def lcs_length(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Length of the longest common subsequence, one machine-word operation per token of b (Hyyro, 2004)."""
    where: dict[str, int] = {}
    for i, token in enumerate(a):
        where[token] = where.get(token, 0) | 1 << i
    full = (1 << len(a)) - 1
    open_positions = full
    for token in b:
        hit = open_positions & where.get(token, 0)
        open_positions = ((open_positions + hit) | (open_positions - hit)) & full
    return len(a) - open_positions.bit_count()


def _f_measure(common: int, gold_tokens: int, text_tokens: int) -> float:
    precision, recall = common / max(text_tokens, 1), common / max(gold_tokens, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def rouge_1(gold: str, text: str, how: RougeTokens) -> float:
    """F-measure of shared words, in [0, 1]; 0 if either text has none."""
    a, b = tokens(gold, how), tokens(text, how)
    return _f_measure(sum((Counter(a) & Counter(b)).values()), len(a), len(b))


def rouge_l(gold: str, text: str, how: RougeTokens) -> float:
    """F-measure of the longest common subsequence of words, in [0, 1]; 0 if either text has none."""
    a, b = tokens(gold, how), tokens(text, how)
    return _f_measure(lcs_length(a, b), len(a), len(b))
