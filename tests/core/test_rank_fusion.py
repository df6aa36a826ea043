import pytest

from hydra_ray.core.retrieval import RetrieverSettings, make_retriever, retriever_kind
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.registries import RETRIEVERS

WORDS = {"a": "red fox", "b": "blue whale", "c": "red frog and fox", "d": "old tortoise"}
ITEMS = [HistoryItem(name, text, text, "x", f"2020-01-0{i}") for i, (name, text) in enumerate(WORDS.items(), 1)]
RANKING = {"1": ("b", "a", "d", "c"), "2": ("z", "a"), "3": ("x", "y"), "4": ("a", "b", "a", "c", "d")}
GIVEN = RetrieverSettings(ranking=lambda: RANKING)


def ids(found):  # type: ignore[no-untyped-def]
    return [item.item_id for item, _ in found]


def test_reciprocal_ranks_are_summed() -> None:
    # Recency: d c b a. BM25 on "red fox": a c, then d b (ties to the newer).
    found = make_retriever("rrf", ITEMS, RetrieverSettings(fuse=("recency", "bm25"))).top("red fox", 4)
    want = {"c": 1 / 62 + 1 / 62, "d": 1 / 61 + 1 / 63, "a": 1 / 64 + 1 / 61, "b": 1 / 63 + 1 / 64}
    assert {item.item_id: score for item, score in found} == pytest.approx(want)
    assert ids(found) == sorted(want, key=lambda name: -want[name])


def test_an_excluded_item_takes_no_rank() -> None:
    found = make_retriever("rrf", ITEMS, RetrieverSettings(fuse=("recency",))).top("q", 2, exclude="d")
    assert [(item.item_id, score) for item, score in found] == [("c", 1 / 61), ("b", 1 / 62)]


def test_one_fused_retriever_keeps_its_order_and_equal_scores_go_to_the_newer() -> None:
    fused = make_retriever("rrf", ITEMS, RetrieverSettings(fuse=("bm25",)))
    assert ids(fused.top("red fox", 4)) == ids(make_retriever("bm25", ITEMS).top("red fox", 4))
    both = RetrieverSettings(fuse=("ranking", "recency"), ranking=lambda: {"1": ("a", "b", "c", "d")})
    assert ids(make_retriever("rrf", ITEMS, both).top("q", 4, question_id="1")) == ["d", "a", "c", "b"]


def test_the_ranking_of_a_question_is_its_order() -> None:
    retriever = make_retriever("ranking", ITEMS, GIVEN)
    assert retriever.top("red", 3, question_id="1") == [(ITEMS[1], 1.0), (ITEMS[0], 1 / 2), (ITEMS[3], 1 / 3)]
    assert ids(retriever.top("red", 9, exclude="b", question_id="1")) == ["a", "d", "c"]
    # A query that is none of the data's questions.
    assert ids(retriever.top("blue whale", 1)) == ["b"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("9", "ranks nothing for question 9"),
        ("2", r"question 2 lacks 3 of the 4 items \(b, c, d\)"),
        ("3", "question 3 is of another history"),
        ("4", "question 4 names an item twice"),
    ],
)
def test_a_ranking_that_does_not_fit_is_one_line(question: str, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^retrieval\.ranking: .*{expected}") as error:
        make_retriever("ranking", ITEMS, GIVEN).top("q", 1, question_id=question)
    assert "\n" not in str(error.value)


def test_without_a_ranking_the_key_is_named() -> None:
    with pytest.raises(UserError, match=r"^retrieval\.ranking: needed"):
        make_retriever("ranking", ITEMS).top("q", 1, question_id="1")


def test_an_empty_history_has_nothing_in_any_order() -> None:
    assert make_retriever("rrf", [], RetrieverSettings(fuse=("bm25",))).top("q", 3) == []
    assert (
        make_retriever("ranking", [], RetrieverSettings(ranking=lambda: {"1": ()})).top("q", 3, question_id="1") == []
    )


def test_the_index_of_fused_retrievers_takes_what_theirs_take() -> None:
    settings = RetrieverSettings(fuse=("bm25", "recency", "dense"))
    parts = [retriever_kind(name).index_bytes(ITEMS, settings) for name in settings.fuse]
    assert retriever_kind("rrf").index_bytes(ITEMS, settings) == sum(parts) > 0
    assert "rrf" in RETRIEVERS.builtin
