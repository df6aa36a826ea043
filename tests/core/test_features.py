import math

import pytest

from hydra_ray.core.features import (
    WIDTH,
    AnswerFrequency,
    answer_frequencies,
    candidate_features,
    history_answers,
    history_candidates,
    vote_weight,
)
from hydra_ray.core.tasks import load_task

TAGGING = load_task("synthetic_tagging")
HEADLINE = load_task("synthetic_headline")
LABELS = len(TAGGING.labels)


def test_weight_is_a_probability_for_any_log_odds():
    assert vote_weight(0.0) == 0.5
    assert vote_weight(1e9) == pytest.approx(1.0)
    assert vote_weight(-1e9) == pytest.approx(0.0)


def test_a_profile_counts_answers_and_weighs_them_by_recency_and_likeness() -> None:
    a, b = TAGGING.labels[:2]
    answers = history_answers(TAGGING, [a.upper(), b, a])
    assert answers == [a, b, a]
    assert answer_frequencies(answers) == {a: (2, pytest.approx(1.81), 2.0), b: (1, pytest.approx(0.9), 1.0)}
    weights = [math.exp(10 * cosine) for cosine in (0.1, 0.5, 0.2)]
    mean = sum(weights) / 3
    alike = answer_frequencies(answers, [0.1, 0.5, 0.2])
    assert alike[a][2] == pytest.approx((weights[0] + weights[2]) / mean)
    assert alike[b][2] == pytest.approx(weights[1] / mean)
    assert history_answers(HEADLINE, ["a headline"]) == []
    assert answer_frequencies([]) == {}


def test_labels_are_backed_by_log_ratios_of_history_text_and_votes():
    a, b, c = TAGGING.labels[:3]
    own = answer_frequencies([a, b, a, a], [0.2, 0.7, 0.2, 0.2])
    topics = {a: 0.4, b: -0.8}
    first, second, third = candidate_features(TAGGING, "q", [a, b, c], [a], own, [(a, 0.2), (b, 0.9), (b, 0.9)], topics)
    spread = 2 / LABELS
    habit = [math.log((count + spread) / 6) for count in (3, 1, 0)]
    assert [row[0] for row in (first, second, third)] == pytest.approx([max(-1.5, x / 4) for x in habit])
    recent = 1 + 0.9 + 0.9**3
    of_late = math.log((recent + spread / 4) / (recent + 0.81 + 0.5)) - habit[0]
    assert first[1] == pytest.approx(of_late / 4)
    assert second[2] == pytest.approx(math.log((own[b][2] + 2) / 3) / 4)
    assert second[2] > 0 > first[2]
    assert second[3] == pytest.approx((math.log((1.8 + spread / 4) / 2.5) - habit[1]) / 4)
    assert first[4] == pytest.approx(math.log(1.25 / (1 + 0.25 * LABELS)) / 4)
    assert (first[5], second[5], third[5]) == (0.1, -0.2, 0.0)
    assert [row[6:] for row in (first, second, third)] == [(1.0, 1.0), (1.0, 1.0), (0.0, 1.0)]


def test_without_encoder_likeness_says_nothing() -> None:
    a, b = TAGGING.labels[:2]
    rows = candidate_features(TAGGING, "q", [a, b], [], answer_frequencies([a, a, b]), [])
    assert [row[2] for row in rows] == [0.0, 0.0]


def test_no_ratio_is_larger_than_a_head_can_read() -> None:
    a, b = TAGGING.labels[:2]
    rows = candidate_features(TAGGING, "q", [a, b], [a] * 8, answer_frequencies([a] * 10_000), [], {a: 50.0, b: -50.0})
    assert all(-1.5 <= x <= 1.5 for row in rows for x in row)
    assert [row[5] for row in rows] == [1.5, -1.5]


def test_texts_are_backed_by_the_other_samples_the_query_and_the_records():
    samples = ["rain in spain", "rain in spain", "sun"]
    supporters = [("rain in spain", 0.5), ("snow", 0.5)]
    found = candidate_features(
        HEADLINE, "sun over spain", ["rain in spain", "sun"], samples, {}, supporters, plain="sun"
    )
    assert found[0] == pytest.approx((0.5, 0.5, 2 / 3, 1 / 3, 3 / 4, 1.0, 0.0, 1.0))
    assert found[1] == pytest.approx((0.0, 0.0, 1 / 3, 1 / 2, 2 / 3, 0.0, 1.0, 1.0))
    assert candidate_features(HEADLINE, "q", ["gold"], samples, {}, [])[0] == (0.0,) * 7 + (1.0,)
    assert candidate_features(HEADLINE, "q", ["!!!"], ["!!!"], {}, [])[0] == (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_own_answers_join_the_candidates_most_frequent_first() -> None:
    a, b, c = TAGGING.labels[:3]
    own = {text: AnswerFrequency(times, 1.0, 1.0) for text, times in ((a, 1), (b, 3), (c, 1), ("", 5))}
    assert history_candidates(TAGGING, own, [c]) == [b, a]


def test_an_own_answer_that_is_no_label_is_no_candidate() -> None:
    rating = load_task("synthetic_rating")
    own = answer_frequencies(history_answers(rating, ["great", "4", "great", "4.5", "inf"]))
    assert history_candidates(rating, own, []) == ["4"]
    assert history_candidates(TAGGING, answer_frequencies(history_answers(TAGGING, ["whatever I like"])), []) == []


def test_nothing_known_is_the_same_for_every_label():
    rows = candidate_features(TAGGING, "q", list(TAGGING.labels[:2]), [], {}, [])
    assert rows[0] == rows[1]
    assert len(rows[0]) == WIDTH
    assert rows[0][0] == pytest.approx(math.log(1 / LABELS) / 4)
    assert rows[0][1:] == pytest.approx((0.0,) * (WIDTH - 1))
