"""BM25 by hand, against rank_bm25, and on short histories."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from hydra_ray.core.bm25 import BM25, PLUS, BM25Kind
from hydra_ray.core.retrieval import RetrieverSettings, make_retriever
from hydra_ray.core.types import HistoryItem


def _order(corpus: list[str], query: str, kind: BM25Kind = PLUS) -> list[int]:
    items = [HistoryItem(str(i), text, text, "a") for i, text in enumerate(corpus)]
    return [
        int(item.item_id)
        for item, _ in make_retriever("bm25", items, RetrieverSettings(bm25=kind)).top(query, len(corpus))
    ]


@pytest.mark.parametrize("tokens", ["whitespace", "words"])
@pytest.mark.parametrize(
    ("corpus", "query", "order"),
    [
        (["the quiet harbour wall", "the quiet harbour wall again"], "the quiet harbour wall", [0, 1]),
        (["frost snow", "frost snow", "reeds"], "frost", [1, 0, 2]),
        (["good cable", "good cable for guitar", "good strap"], "good cable", [0, 1, 2]),
        (["good strap"], "good cable", [0]),
    ],
)
def test_plus_puts_shared_words_first_in_short_histories(
    corpus: list[str], query: str, order: list[int], tokens: str
) -> None:
    assert _order(corpus, query, BM25Kind("plus", tokens)) == order  # type: ignore[arg-type]


def test_okapi_stays_lamps() -> None:
    corpus, query = ["the quiet harbour wall", "the quiet harbour wall again"], "the quiet harbour wall"
    assert _order(corpus, query, BM25Kind("okapi", "whitespace")) == [1, 0]  # the fault that `plus` mends
    texts = ["A b, c", "b c d d", "E a", "x y z"]
    theirs = BM25Okapi([text.lower().split() for text in texts]).get_scores(["a", "d", "d", "e"])
    assert BM25(texts, BM25Kind("okapi", "whitespace")).scores("a d d E").tolist() == theirs.tolist()


def test_plus_by_hand() -> None:
    # 3 records of 2, 4 and 3 words, 3 on average. "a" is in 2 records: log(1 + 1.5 / 2.5).
    scores = BM25(["a b", "a a c d", "e f g"], BM25Kind()).scores("a A x")
    weight = np.log(1.6)
    first = 1 + 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 3))
    second = 1 + 2 * 2.5 / (2 + 1.5 * (0.25 + 0.75 * 4 / 3))
    assert scores.tolist() == pytest.approx([2 * weight * first, 2 * weight * second, 0.0])


@given(corpus=st.lists(st.text("abc ,", max_size=12), min_size=1, max_size=6), query=st.text("abc ", max_size=9))
def test_plus_is_above_zero_exactly_where_a_word_is_shared(corpus: list[str], query: str) -> None:
    scores = BM25(corpus, BM25Kind()).scores(query)
    words = set(query.split())
    assert [score > 0 for score in scores] == [bool(words & set(text.replace(",", " ").split())) for text in corpus]
    assert scores.min() >= 0


def test_punctuation_case_and_scripts_without_blanks() -> None:
    assert _order(["the Harbour, wall", "a quiet day"], "harbour") == [0, 1]
    assert _order(["安静的桥", "红色的花"], "桥在哪里") == [0, 1]
    assert _order(["тихий мост", "сад"], "Мост?") == [0, 1]
    assert _order(["caf\u00e9", "tea"], "cafe\u0301") == [0, 1]
