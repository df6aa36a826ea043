"""Which candidates there are, and which of them answers."""

import math

import pytest

from hydra_ray.config import AdapterConfig
from hydra_ray.core.features import AnswerFrequency
from hydra_ray.core.tasks import load_task
from hydra_ray.inference.selection import CandidateSet, Selection, adapter_features, make_candidates, select

TAGS = load_task("synthetic_tagging")
RATINGS = load_task("synthetic_rating")
TEXTS = load_task("synthetic_headline")
OWN = {
    "dune": AnswerFrequency(3, 2.0, 3.0),
    "no label": AnswerFrequency(1, 1.0, 1.0),
    "fern": AnswerFrequency(1, 0.5, 1.0),
}


def test_candidates_are_the_samples_and_the_users_own_answers() -> None:
    made = make_candidates(TAGS, ["Tag: maple", "dune.", None, "hm", "maple"], [], OWN, AdapterConfig())
    assert made == CandidateSet(("maple", "dune", "fern"), (2, 1, 0), ("maple", "dune", "maple"))
    alone = make_candidates(TAGS, ["maple"], [], OWN, AdapterConfig(history_candidates=False))
    assert alone.texts == ("maple",)


def test_the_plain_answer_is_a_candidate_where_the_config_says_so() -> None:
    config = AdapterConfig(zero_shot_candidate=True)
    made = make_candidates(TEXTS, ["Rain at sea", "Snow"], ["Snow"], {}, config)
    assert (made.texts, made.votes, made.plain) == (("Rain at sea", "Snow"), (1, 2), "Snow")
    without = make_candidates(TEXTS, ["Rain at sea"], ["Snow"], {}, AdapterConfig())
    assert (without.texts, without.plain) == (("Rain at sea",), "")


@pytest.mark.parametrize("plain", [[], [None], ["<think>no end"]])
def test_where_the_plain_answer_is_missing_no_sample_takes_its_place(plain: list[str | None]) -> None:
    config = AdapterConfig(zero_shot_candidate=True)
    made = make_candidates(TEXTS, ["Rain at sea", "Snow"], plain, {}, config)
    assert (made.texts, made.plain) == (("Rain at sea", "Snow"), "")
    features = adapter_features(TEXTS, "q", made, {}, [], {}, 8)
    assert [numbers[6] for numbers in features] == [0.0, 0.0]


def test_features_are_read_only_by_an_adapter_that_has_some() -> None:
    made = make_candidates(TAGS, ["maple", "dune"], [], OWN, AdapterConfig())
    assert adapter_features(TAGS, "q", made, OWN, [], {}, 0) == ()
    features = adapter_features(TAGS, "q", made, OWN, [("dune", 1.0)], {"maple": 2.0}, 8)
    by_text = dict(zip(made.texts, features, strict=True))
    assert {text: numbers[6:] for text, numbers in by_text.items()} == {
        "maple": (0.0, 1.0),
        "dune": (1.0, 1.0),
        "fern": (1.0, 1.0),
    }
    assert by_text["maple"][5] == 0.5
    assert by_text["dune"][3] > by_text["fern"][3]


def test_the_best_score_answers_and_the_rest_follow() -> None:
    made = CandidateSet(("maple", "dune", "fern"), (2, 1, 0), ("maple", "dune", "maple"))
    best = select(TAGS, made, [0.0, -1.0, 3.0], AdapterConfig(select="best"))
    assert best == Selection((2, 0, 1), (0.0, -1.0, 3.0), (0.0, -1.0, 3.0))
    vote = select(TAGS, made, [0.0, 0.0, 1.0], AdapterConfig(select="weighted"))
    assert vote.order == (0, 1, 2)
    assert vote.weights == pytest.approx((1.25, 0.75, 0.5 / (1 + math.exp(-1))))
    probability = select(TAGS, made, [0.0, 0.0, 1.0], AdapterConfig(select="probability"))
    assert probability.order == (2, 0, 1)


def test_ratings_take_the_median_of_the_vote() -> None:
    made = CandidateSet(("1", "5", "3"), (1, 1, 1), ("1", "5", "3"))
    assert select(RATINGS, made, [0.0, 0.0, 0.0], AdapterConfig(select="weighted")).order == (2, 0, 1)


def test_an_adapter_that_did_not_run_leaves_the_order() -> None:
    made = CandidateSet(("maple", "dune"), (1, 1), ("maple", "dune"))
    assert select(TAGS, made, None, AdapterConfig()) == Selection((0, 1))


def test_nothing_to_choose_from() -> None:
    assert select(TAGS, CandidateSet((), (), ()), None, AdapterConfig()) == Selection()
    assert select(TAGS, CandidateSet((), (), ()), [], AdapterConfig()) == Selection()
