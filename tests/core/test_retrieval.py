from dataclasses import replace

import numpy as np
import pytest

from hydra_ray.core.bm25 import BM25Kind
from hydra_ray.core.retrieval import RetrieverSettings, make_retriever, recency_ranks
from hydra_ray.core.types import HistoryItem

ITEMS = [
    HistoryItem("a", "red fox runs", "red fox runs", "x", "2020-01-01"),
    HistoryItem("b", "blue whale swims", "blue whale swims", "y", "2020-01-02"),
    HistoryItem("c", "green frog jumps", "green frog jumps", "z", "2020-01-03"),
    HistoryItem("d", "old tortoise sleeps", "old tortoise sleeps", "z", "2020-01-04"),
]


def test_case_is_folded_or_kept() -> None:
    texts = {"a": "the US army", "b": "tell us now", "c": "a b", "d": "e f", "e": "g h"}
    items = [HistoryItem(name, text, text, "") for name, text in texts.items()]
    assert (
        make_retriever("bm25", items, RetrieverSettings(bm25=BM25Kind("okapi", "cased"))).top("US", 1)[0][0].item_id
        == "a"
    )
    assert make_retriever("bm25", items, RetrieverSettings(bm25=BM25Kind("okapi", "cased"))).top("US", 2)[1][1] == 0
    assert make_retriever("bm25", items).top("US", 2)[1][1] > 0


def test_bm25_finds_the_item_with_the_querys_words() -> None:
    assert [i.item_id for i, _ in make_retriever("bm25", ITEMS).top("a blue whale", 1)] == ["b"]


@pytest.mark.parametrize("method", ["bm25", "recency", "random"])
def test_a_pseudo_query_never_retrieves_itself(method: str) -> None:
    found = make_retriever(method, ITEMS).top("blue whale swims", 10, exclude="b")
    assert {i.item_id for i, _ in found} == {"a", "c", "d"}


def test_recency_is_newest_first_and_ties_go_to_the_newer() -> None:
    assert [i.item_id for i, _ in make_retriever("recency", ITEMS).top("", 2)] == ["d", "c"]
    assert [i.item_id for i, _ in make_retriever("bm25", ITEMS).top("nothing shared", 4)] == ["d", "c", "b", "a"]


def test_random_repeats_itself_and_depends_on_seed_and_query_alone() -> None:
    first = [i.item_id for i, _ in make_retriever("random", ITEMS, RetrieverSettings(seed=1)).top("q", 4)]
    shuffled = [i.item_id for i, _ in make_retriever("random", ITEMS[::-1], RetrieverSettings(seed=1)).top("q", 4)]
    assert first == shuffled
    assert (
        len(
            {
                tuple(i.item_id for i, _ in make_retriever("random", ITEMS, RetrieverSettings(seed=s)).top("q", 4))
                for s in range(20)
            }
        )
        > 1
    )


def test_dense_ranks_by_cosine() -> None:
    axes = {"red fox runs": 0, "blue whale swims": 1, "green frog jumps": 2, "old tortoise sleeps": 3, "whale": 1}

    def encode(texts):  # type: ignore[no-untyped-def]
        return np.eye(4, dtype=np.float32)[[axes[t] for t in texts]] * 3

    assert make_retriever("dense", ITEMS, RetrieverSettings(encode=encode)).top("whale", 1)[0][0].item_id == "b"


def test_the_dot_product_keeps_the_embeddings_lengths() -> None:
    # Two items on the query's axis, the second three times as long; the cosine cannot tell them apart.
    embeddings = {"red fox runs": [1, 0], "blue whale swims": [3, 1], "green frog jumps": [0, 1],
               "old tortoise sleeps": [-1, 0], "q": [2, 0]}  # fmt: skip

    def encode(texts):  # type: ignore[no-untyped-def]
        return np.array([embeddings[text] for text in texts], dtype=np.float32)

    found = make_retriever("dense", ITEMS, RetrieverSettings(encode=encode, similarity="dot")).top("q", 4)
    assert [(item.item_id, score) for item, score in found] == [("b", 6), ("a", 2), ("c", 0), ("d", -2)]
    cosines = make_retriever("dense", ITEMS, RetrieverSettings(encode=encode)).top("q", 4)
    assert [item.item_id for item, _ in cosines] == ["a", "b", "c", "d"]


def test_the_date_is_searched_where_it_is_asked_for() -> None:
    undated = [*ITEMS, HistoryItem("e", "no date", "no date", "x")]
    settings = RetrieverSettings(bm25=BM25Kind("plus", "whitespace"), use_date=True)
    assert make_retriever("bm25", undated, settings).top("2020-01-01", 1)[0][0].item_id == "a"
    assert make_retriever("bm25", undated, settings._replace(use_date=False)).top("2020-01-01", 1)[0][1] == 0
    seen: list[str] = []

    def encode(texts):  # type: ignore[no-untyped-def]
        seen.extend(texts)
        return np.ones((len(texts), 2), dtype=np.float32)

    make_retriever("dense", undated, RetrieverSettings(encode=encode, use_date=True)).top("q", 1)
    assert seen[0] == "red fox runs date: 2020-01-01"
    assert seen[4:] == ["no date", "q"]


@pytest.mark.parametrize("method", ["bm25", "recency", "random"])
def test_an_empty_history_retrieves_nothing(method: str) -> None:
    assert make_retriever(method, []).top("q", 3) == []


def test_recency_is_the_rank_in_time_among_the_records_that_may_be_retrieved() -> None:
    a, b, c, d = ITEMS
    assert recency_ranks([d, a, c, b], ITEMS) == [1.0, 0.25, 0.75, 0.5]
    assert recency_ranks([d, a, b], ITEMS, exclude="c") == [1.0, 1 / 3, 2 / 3]
    assert recency_ranks([a], [a]) == [1.0]
    assert recency_ranks([], []) == []


def test_the_newest_by_recency_are_those_that_the_method_recency_finds() -> None:
    undated = [replace(item, date="") for item in ITEMS]
    found = [item for item, _ in make_retriever("recency", undated).top("", 4, "b")]
    assert recency_ranks(found, undated, "b") == [1.0, 2 / 3, 1 / 3]
