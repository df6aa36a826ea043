"""What the reranker reads, and what its scores order."""

import pytest

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.reranking import RankedItem, choose_examples, rank, reranker_features, showable, supporters
from hydra_ray.inference.types import RetrievalResult

ITEMS = tuple(HistoryItem(name, f"text {name}", f"text {name}", f"answer {name}") for name in "abcd")
FOUND = RetrievalResult(ITEMS, (8.0, 4.0, 2.0, -1.0), recencies=(0.25, 1.0, 0.5, 0.75))


def names(ranked: list[RankedItem]) -> str:
    return "".join(one.item.item_id for one in ranked)


def test_features_are_normalized_score_and_recency_as_many_as_are_read() -> None:
    assert reranker_features(FOUND, 0) == ()
    assert reranker_features(FOUND, 1) == ((1.0,), (0.5,), (0.25,), (0.0,))
    assert reranker_features(FOUND, 2) == ((1.0, 0.25), (0.5, 1.0), (0.25, 0.5), (0.0, 0.75))


def test_scores_order_the_items_ties_to_the_better_retrieved() -> None:
    ranked = rank(ITEMS, [0.0, 2.0, -1.0, 2.0])
    assert names(ranked) == "bdac"
    assert [(one.place, one.score) for one in ranked] == [(1, 2.0), (3, 2.0), (0, 0.0), (2, -1.0)]


def test_without_scores_the_order_stays() -> None:
    ranked = rank(ITEMS, None)
    assert names(ranked) == "abcd"
    assert {one.score for one in ranked} == {None}


def test_examples_are_the_first_k_of_the_n_that_were_retrieved_first() -> None:
    ranked = rank(ITEMS, [0.0, 1.0, 2.0, 3.0])
    assert names(showable(ranked, 3)) == "cba"
    assert choose_examples(ranked, 3, 2) == [ITEMS[2], ITEMS[1]]
    assert choose_examples(rank(ITEMS, None), 3, 2) == [ITEMS[0], ITEMS[1]]
    assert choose_examples([], 3, 2) == []


def test_supporters_weigh_what_the_reranker_believes_beyond_those_that_may_be_shown() -> None:
    weights = dict(supporters(rank(ITEMS, [0.0, 100.0, -100.0, 1.0]), 2))
    assert weights["answer a"] == 0.5
    assert weights["answer b"] == pytest.approx(1.0)
    assert weights["answer c"] == pytest.approx(0.0)
    assert weights["answer d"] == pytest.approx(0.7310585786)


def test_without_a_reranker_the_n_retrieved_first_weigh_the_same() -> None:
    assert supporters(rank(ITEMS, None), 2) == [("answer a", 0.5), ("answer b", 0.5)]
