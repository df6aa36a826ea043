"""BM25 in two variants over two ways to see words; k1 = 1.5, b = .75 throughout. Pure.

okapi: LaMP's (rank_bm25 with its defaults). A word that stands in half of the items or more has a negative weight,
which is most words of a short history: an item that shares all words with the query can come last.
plus: BM25+ (Lv and Zhai, 2011), which adds 1 to the frequency part of every word that an item has, so that a long
item with it beats one without; a word of n of N items weighs log(1 + (N - n + .5) / (n + .5)), always above zero.

whitespace: lower-cased, split at whitespace. cased: the same, as written.
words: words of every script without punctuation, by characters where a script writes no blanks (core/unicode_words.py).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from hydra_ray.core.unicode_words import unicode_words

BM25Variant = Literal["okapi", "plus"]
BM25Tokens = Literal["whitespace", "cased", "words"]


class BM25Kind(NamedTuple):
    """Which BM25. The default was the better one on real histories, above all on short ones (bench/bm25.py)."""

    variant: BM25Variant = "plus"
    tokens: BM25Tokens = "words"


PLUS = BM25Kind()


def _whitespace(text: str) -> list[str]:
    return text.lower().split()


def _words(text: str) -> list[str]:
    return list(unicode_words(text))


TOKENISERS: dict[BM25Tokens, Callable[[str], list[str]]] = {
    "whitespace": _whitespace,
    "words": _words,
    "cased": str.split,
}
"""A text's words, equal ones as often as they come."""


_K1, _B = 1.5, 0.75


class _Plus:
    """See `plus` above. Every word's items and what it is worth in each are worked out once (column by column)."""

    def __init__(self, corpus: Sequence[Sequence[str]]) -> None:
        columns: dict[str, int] = {}
        counts = [Counter(words) for words in corpus]
        column = np.array(
            [columns.setdefault(word, len(columns)) for words in counts for word in words], dtype=np.int32
        )
        row = np.repeat(np.arange(len(corpus), dtype=np.int32), [len(words) for words in counts])
        times = np.array([count for words in counts for count in words.values()], dtype=np.float64)
        by_word = np.argsort(column, kind="stable")
        column, row, times = column[by_word], row[by_word], times[by_word]
        records = np.bincount(column, minlength=len(columns))
        lengths = np.array([len(words) for words in corpus])
        idf = np.log(1 + (len(corpus) - records + 0.5) / (records + 0.5))
        norm = _K1 * (1 - _B + _B * lengths / lengths.mean())
        self._gains = idf[column] * (1 + times * (_K1 + 1) / (times + norm[row]))
        self._records, self._columns, self._size = row, columns, len(corpus)
        self._ends = np.concatenate([[0], np.cumsum(records)])

    def get_scores(self, query: Sequence[str]) -> NDArray[np.float64]:
        """float64 [items]."""
        scores = np.zeros(self._size)
        for word in query:
            column = self._columns.get(word)
            if column is not None:
                its = slice(self._ends[column], self._ends[column + 1])
                scores[self._records[its]] += self._gains[its]
        return scores


class BM25:
    """The index of some items' texts."""

    def __init__(self, texts: Sequence[str], kind: BM25Kind) -> None:
        self._tokenise = TOKENISERS[kind.tokens]
        corpus = [self._tokenise(text) or [""] for text in texts]
        self._index: Any = (BM25Okapi(corpus) if kind.variant == "okapi" else _Plus(corpus)) if corpus else None

    def scores(self, query: str) -> NDArray[np.float64]:
        """How well each item fits the query: float64 [items]."""
        if self._index is None:
            return np.zeros(0)
        return np.asarray(self._index.get_scores(self._tokenise(query)), dtype=np.float64)


_WORD_BYTES = {"okapi": (95, 0), "plus": (12, 110)}
"""Of an index: per distinct word of an item, and per distinct word of all (measured with tracemalloc)."""


def index_bytes(texts: Sequence[str], kind: BM25Kind) -> int:
    """What an index over these items takes in memory on top of their texts."""
    in_record, in_all = _WORD_BYTES[kind.variant]
    words = [set(TOKENISERS[kind.tokens](text)) for text in texts]
    return in_record * sum(map(len, words)) + in_all * len(set().union(*words))
