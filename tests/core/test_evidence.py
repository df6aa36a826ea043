import pytest

from hydra_ray.core.evidence import WIDTH, evidence, habits, own_candidates, weight_of
from hydra_ray.core.tasks import load_task

TAGGING = load_task("synthetic_tagging")
HEADLINE = load_task("synthetic_headline")


def test_weight_is_a_probability_for_any_log_odds():
    assert weight_of(0.0) == 0.5
    assert weight_of(1e9) == pytest.approx(1.0)
    assert weight_of(-1e9) == pytest.approx(0.0)


def test_labels_are_backed_by_habit_and_by_the_retrieved_records():
    a, b, c = TAGGING.labels[:3]
    own = habits(TAGGING, [a, a, b, a])
    assert own == {a: 3, b: 1}
    found = evidence(TAGGING, [a, b, c], [a], own, [(a, 0.2), (b, 0.9), (b, 0.9)])
    assert [row[0] for row in found] == [0.75, 0.25, 0.0]
    assert [row[1] for row in found] == pytest.approx([0.1, 0.9, 0.0])
    assert [row[2:] for row in found] == [(1.0, 1.0), (0.0, 1.0), (0.0, 1.0)]


def test_texts_are_backed_by_the_other_samples_and_by_likeness_to_the_records():
    samples = ["rain in spain", "rain in spain", "sun"]
    found = evidence(HEADLINE, ["rain in spain", "sun"], samples, {}, [("rain in spain", 0.5), ("snow", 0.5)])
    assert found[0] == pytest.approx((0.5, 0.5, 2 / 3, 1.0))
    assert found[1] == pytest.approx((0.0, 0.0, 1 / 3, 1.0))
    assert evidence(HEADLINE, ["gold"], samples, {}, [])[0] == (0.0, 0.0, 0.0, 1.0)
    assert evidence(HEADLINE, ["!!!"], ["!!!"], {}, [])[0] == (0.0, 0.0, 1.0, 1.0)


def test_own_answers_join_the_candidates_most_frequent_first() -> None:
    a, b, c = TAGGING.labels[:3]
    assert own_candidates(TAGGING, {a: 1, b: 3, c: 1, "": 5}, [c]) == [b, a]


def test_an_own_answer_that_is_no_label_is_no_candidate() -> None:
    rating = load_task("synthetic_rating")
    own = habits(rating, ["great", "4", "great", "4.5", "inf"])
    assert own_candidates(rating, own, []) == ["4"]
    assert own_candidates(TAGGING, habits(TAGGING, ["whatever I like"]), []) == []


def test_nothing_known_is_no_evidence():
    assert evidence(TAGGING, list(TAGGING.labels[:2]), [], {}, []) == [(0.0,) * WIDTH] * 2
    assert habits(HEADLINE, ["a headline"]) == {}
