"""What the reranker reads, and what its scores order."""

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.reranking import RankedItem, choose_examples, rank, reranker_features, showable
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


def test_supporters_weigh_their_retrieval_scores() -> None:
    found = RetrievalResult(tuple(ITEMS[:3]), (4.0, 2.0, 0.0))
    assert found.supporters == (("answer a", 1.0), ("answer b", 0.5), ("answer c", 0.0))
    assert RetrievalResult().supporters == ()


def test_what_is_left_without_some_items_weighs_against_the_best_of_it() -> None:
    found = RetrievalResult(tuple(ITEMS[:3]), (4.0, 2.0, 1.0), recencies=(0.5, 1.0, 0.25))
    left = found.without({ITEMS[0].item_id, "another"})
    assert (left.items, left.scores, left.recencies) == (tuple(ITEMS[1:3]), (2.0, 1.0), (1.0, 0.25))
    assert left.supporters == (("answer b", 1.0), ("answer c", 0.5))
