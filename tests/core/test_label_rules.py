"""Labels from LLM feedback, both readings."""

import random

import pytest

from hydra_ray.core.label_rules import AdapterRow, adapter_rows, reranker_labels
from hydra_ray.core.tasks import load_task

TAGS, RATING, HEADLINE = load_task("lamp_2m"), load_task("lamp_3"), load_task("lamp_4")
GOLD = "a b c d"


def test_classification_and_rating_labels_are_matches() -> None:
    ids = ["u"] * 4, ["q"] * 4
    assert reranker_labels(TAGS, ["comedy"] * 4, ["Tag: comedy", "dark comedy", None, ""], *ids) == [1, 0, None, 0]
    assert reranker_labels(RATING, ["4"] * 4, ["4.0", "3", None, "4 stars"], *ids, "user") == [1, 0, None, 1]


def test_generation_means_per_query_and_per_user() -> None:
    # Query 1 answers well throughout, query 2 badly: against its user's mean all of query 2 is negative.
    answers = ["a b c d", "a b c x", "a x x x", "y y y y"]
    args = HEADLINE, [GOLD] * 4, answers, ["u"] * 4, ["1", "1", "2", "2"]
    assert reranker_labels(*args, "query") == [1, 0, 1, 0]
    assert reranker_labels(*args, "user") == [1, 1, 0, 0]


def test_a_missing_answer_moves_no_row_and_no_mean() -> None:
    answers = ["a b c d", None, "y", "a b"]
    labels = reranker_labels(HEADLINE, [GOLD] * 4, answers, ["u"] * 4, ["q"] * 4)
    assert labels == [1, None, 0, 1]
    assert reranker_labels(HEADLINE, [GOLD] * 3, ["a b c d", "y", "a b"], ["u"] * 3, ["q"] * 3) == [1, 0, 1]


def test_equal_scores_have_none_above_the_mean() -> None:
    assert reranker_labels(HEADLINE, [GOLD] * 3, ["a b x"] * 3, ["u"] * 3, ["q"] * 3) == [0, 0, 0]


def test_queries_of_two_users_with_one_id_are_apart() -> None:
    labels = reranker_labels(HEADLINE, [GOLD] * 4, ["a b c d", "a b", "a", "y"], ["u", "u", "v", "v"], ["1"] * 4)
    assert labels == [1, 0, 1, 0]


def test_labels_follow_their_rows_in_any_order() -> None:
    draw = random.Random(1)
    rows = [(GOLD, draw.choice(["a b", "a b c d", "x", None]), f"u{i % 3}", f"q{i % 6}") for i in range(60)]
    labels = reranker_labels(HEADLINE, *map(list, zip(*rows, strict=True)))  # type: ignore[arg-type]
    order = draw.sample(range(60), 60)
    shuffled = reranker_labels(HEADLINE, *map(list, zip(*(rows[i] for i in order), strict=True)))  # type: ignore[arg-type]
    assert shuffled == [labels[i] for i in order]


def test_adapter_matches() -> None:
    for reading in ("gold", "relative"):
        rows = adapter_rows(TAGS, "comedy", ["Comedy.", None, "action"], reading)  # type: ignore[arg-type]
        assert rows == [AdapterRow("comedy", 1, 0), AdapterRow("", None, 1), AdapterRow("action", 0, 2)]


def test_adapter_generation_relative() -> None:
    rows = adapter_rows(HEADLINE, GOLD, ["a b c d", None, "a b", "x"], "relative")
    assert [row.label for row in rows] == [1, None, 1, 0]
    assert [row.sample for row in rows] == [0, 1, 2, 3]


def test_adapter_generation_gold_follows_the_samples() -> None:
    rows = adapter_rows(HEADLINE, GOLD, ["a b c", None, "Headline: a b c d"], "gold")
    assert [row.label for row in rows] == [0, None, 1, 1]
    assert rows[-1] == AdapterRow(GOLD, 1, None)


def test_unknown_readings_and_ragged_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reranker\.label"):
        reranker_labels(TAGS, [], [], [], [], "item")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"adapter\.label"):
        adapter_rows(TAGS, "comedy", [], "query")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="columns differ"):
        reranker_labels(TAGS, ["comedy"], [], ["u"], ["q"])
