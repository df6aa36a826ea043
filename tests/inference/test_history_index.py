"""What a history gives for a query."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hydra_ray.config import RetrievalConfig
from hydra_ray.core.features import answer_frequencies
from hydra_ray.core.retrieval import BM25Retriever
from hydra_ray.core.tasks import load_task
from hydra_ray.core.topic_classifier import TopicModel
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.types import UserState

TAGS, TEXTS = load_task("synthetic_tagging"), load_task("synthetic_headline")
ITEMS = [
    HistoryItem("0", "red boat", "red boat", "dune", "2020"),
    HistoryItem("1", "red sun", "red sun", "maple", "2021"),
    HistoryItem("2", "old sun", "old sun", "Dune.", "2022"),
    HistoryItem("3", "old road", "old road", "fern", "2023"),
]
CONFIG = RetrievalConfig()
WORDS = ("red", "old", "sun", "boat", "road")


class Encode:
    """Counts words; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        return np.asarray([[text.split().count(word) for word in WORDS] for text in texts], dtype=np.float32)


def test_a_search_is_the_retrievers_with_recencies_of_what_may_be_found() -> None:
    index = HistoryIndex(ITEMS, TAGS, CONFIG)
    found = index.search("red sun", 2)
    assert list(zip(found.items, found.scores, strict=True)) == BM25Retriever(ITEMS).top("red sun", 2)
    assert found.recencies == (0.5, 0.75)  # of equal scores, the newer
    assert found.normalized_scores[0] == 1.0
    assert found.state is None
    own = index.search("red sun", 4, exclude="1")
    assert [item.item_id for item in own.items if item.item_id == "1"] == []
    assert sorted(own.recencies) == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_answers_are_counted_without_the_querys_own_item() -> None:
    index = HistoryIndex(ITEMS, TAGS, CONFIG)
    assert index.answer_counts("red") == answer_frequencies(["dune", "maple", "dune", "fern"])
    assert index.answer_counts("red", unseen={"2"}) == answer_frequencies(["dune", "maple", "fern"])
    assert {answer: counts[0] for answer, counts in index.answer_counts("red").items()} == {
        "dune": 2,
        "maple": 1,
        "fern": 1,
    }


def test_free_text_has_no_counts() -> None:
    assert HistoryIndex(ITEMS, TEXTS, CONFIG, encode=Encode(), likeness=True).answer_counts("red") == {}
    assert HistoryIndex(ITEMS, TAGS, CONFIG).answer_counts("red", task=TEXTS) == {}


def test_likeness_weighs_answers_by_the_cosine_of_their_items() -> None:
    encode = Encode()
    index = HistoryIndex(ITEMS, TAGS, CONFIG, encode=encode, likeness=True)
    cosines = [0.5, 1.0, 0.5, 0.0]
    for _ in range(2):
        counts = index.answer_counts("red sun")
        expected = answer_frequencies(["dune", "maple", "dune", "fern"], cosines)
        for answer, (times, recent, alike) in expected.items():
            assert counts[answer] == pytest.approx((times, recent, alike), rel=1e-5)
    # The items are embedded once, with the first query in one batch.
    assert encode.calls == [["red sun", *(item.text for item in ITEMS)], ["red sun"]]
    without = index.answer_counts("red sun", {"1"})
    assert without["dune"][2] == pytest.approx(
        answer_frequencies(["dune", "dune", "fern"], [0.5, 0.5, 0.0])["dune"][2], rel=1e-5
    )
    assert "maple" not in without


def test_embedding_ahead_changes_nothing() -> None:
    one, other = (HistoryIndex(ITEMS, TAGS, CONFIG, encode=Encode(), likeness=True) for _ in range(2))
    assert one.embed() == len(ITEMS) * len(WORDS) * 4
    assert one.answer_counts("red sun") == other.answer_counts("red sun")
    assert HistoryIndex(ITEMS, TAGS, CONFIG).embed() == 0
    assert HistoryIndex([], TAGS, CONFIG, encode=Encode(), likeness=True).embed() == 0


def test_everything_for_a_query_at_once() -> None:
    model = TopicModel(("dune", "maple"), np.eye(2, 5, dtype=np.float32), np.zeros(2, np.float32),
                       np.full(2, 0.5, np.float32))  # fmt: skip
    state = UserState(4, 2)
    found = HistoryIndex(ITEMS, TAGS, CONFIG, encode=Encode()).retrieve("red sun", 3, model, state)
    assert len(found.items) == 3
    assert found.state == state
    assert found.answer_counts == answer_frequencies(["dune", "maple", "dune", "fern"])
    assert found.topics["dune"] > 0 > found.topics["maple"]


def test_an_empty_history() -> None:
    found = HistoryIndex([], TAGS, CONFIG).retrieve("red", 3, state=UserState(0, 1))
    assert (found.items, found.scores, found.recencies, found.answer_counts) == ((), (), (), {})
