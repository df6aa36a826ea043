"""Metrics against hand-computed values and the reference packages."""

import random

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import f1_score

from hydra_ray.core.metrics import additive, generation_score, row_scores, score_all
from hydra_ray.core.rouge import rouge_1, rouge_l
from hydra_ray.core.tasks import load_task

TAGS, RATING, HEADLINE = load_task("lamp_2m"), load_task("lamp_3"), load_task("lamp_4")
REFERENCE = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
WORDS = ["the", "a", "cat", "mat", "sat", "on", "sits,", "under", "Rug!", "12", "hat-rack"]


def _text(draw: random.Random, most: int = 9) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(0, most)))


def test_accuracy_and_macro_f1_over_the_full_label_list() -> None:
    golds = ["comedy", "comedy", "action", "classic"]
    preds = ["Comedy", "action", "action", "a mystery"]
    scores = score_all(TAGS, golds, preds)
    # comedy: 2*1/(1+2), action: 2*1/(2+1), the other thirteen labels 0.
    assert scores == pytest.approx({"accuracy": 0.5, "macro_f1": (2 / 3 + 2 / 3) / 15})


def test_macro_f1_is_scikit_learns() -> None:
    draw = random.Random(0)
    golds = draw.choices(TAGS.labels[:9], k=200)
    preds = [gold if draw.random() < 0.4 else draw.choice([*TAGS.labels, ""]) for gold in golds]
    expected = f1_score(golds, preds, labels=list(TAGS.labels), average="macro", zero_division=0)
    assert score_all(TAGS, golds, preds)["macro_f1"] == pytest.approx(expected)


def test_rating_errors_and_answers_that_are_no_number() -> None:
    golds, preds = ["5", "2", "4", "3"], ["4", "two", "no idea", None]
    # 1; 0; gold 4 is farther from 1 (3); gold 3 is equally far from both ends (2).
    assert score_all(RATING, golds, preds) == pytest.approx({"mae": 6 / 4, "rmse": (14 / 4) ** 0.5})


def test_a_gold_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="'lovely'"):
        score_all(RATING, ["lovely"], ["4"])


def test_rouge_by_hand() -> None:
    # 3 of 4 words shared, 2 of them in order: "the cat ... sat" / "sat the cat".
    assert rouge_1("the cat sat down", "sat the cat", "lamp") == pytest.approx(2 * 1 * 0.75 / 1.75)
    assert rouge_l("the cat sat down", "sat the cat", "lamp") == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert generation_score("same words", "Same, words!", "lamp") == 1.0
    assert (
        generation_score("a", "", "lamp")
        == generation_score("", "a", "lamp")
        == generation_score("...", "a", "lamp")
        == 0.0
    )


@settings(max_examples=50)
@given(st.integers(0, 10**9))
def test_rouge_is_rouge_scores(seed: int) -> None:
    draw = random.Random(seed)
    gold, text = _text(draw), _text(draw)
    expected = REFERENCE.score(gold, text)
    assert rouge_1(gold, text, "lamp") == expected["rouge1"].fmeasure
    assert rouge_l(gold, text, "lamp") == expected["rougeL"].fmeasure


@settings(max_examples=50)
@given(gold=st.text(max_size=40), text=st.text(max_size=40))
def test_rouge_is_rouge_scores_on_any_text(gold: str, text: str) -> None:
    expected = REFERENCE.score(gold, text)
    assert (rouge_1(gold, text, "lamp"), rouge_l(gold, text, "lamp")) == (
        expected["rouge1"].fmeasure,
        expected["rougeL"].fmeasure,
    )


@pytest.mark.parametrize("seed", range(12))
def test_bleu_is_sacrebleus(seed: int) -> None:
    draw = random.Random(seed)
    golds = [_text(draw) or "cat" for _ in range(1 + seed % 4)]
    preds = [gold if draw.random() < 0.4 else _text(draw, 3 + seed) for gold in golds]
    preds = [" ".join(pred.split()) for pred in preds]
    expected = sacrebleu.corpus_bleu(preds, [golds]).score
    assert score_all(HEADLINE, golds, preds)["bleu"] == pytest.approx(expected, abs=1e-9)


def test_row_scores_are_higher_for_better() -> None:
    assert row_scores(TAGS, ["comedy", "action"], ["comedy", "x"]).tolist() == [1, 0]
    assert row_scores(RATING, ["5", "5"], ["4", ""]).tolist() == [-1, -4]
    rmse = RATING.model_copy(update={"primary_metric": "rmse"})
    assert row_scores(rmse, ["5", "5"], ["4", ""]).tolist() == [-1, -16]
    assert row_scores(HEADLINE, ["a b"], ["a b"]).tolist() == [1.0]
    bleu = HEADLINE.model_copy(update={"primary_metric": "bleu"})
    assert row_scores(bleu, ["a b"], ["a b"]).tolist() == [1.0]


def test_the_order_of_rows_does_not_matter() -> None:
    draw = random.Random(3)
    for task, golds in ((TAGS, TAGS.labels), (RATING, RATING.labels), (HEADLINE, tuple(_text(draw) for _ in range(9)))):
        rows = [(draw.choice(golds), draw.choice(golds)) for _ in range(40)]
        shuffled = draw.sample(rows, len(rows))
        first = score_all(task, *map(list, zip(*rows, strict=True)))
        assert score_all(task, *map(list, zip(*shuffled, strict=True))) == pytest.approx(first)


def test_additive_weights_are_repetitions() -> None:
    golds, preds = ["comedy", "action", "classic"], ["comedy", "classic", "classic"]
    part = additive(TAGS, golds, preds, "macro_f1")
    weighted = part.finish(np.array([2.0, 1.0, 0.0]) @ part.rows)
    assert weighted == pytest.approx(
        score_all(TAGS, ["comedy", "comedy", "action"], ["comedy", "comedy", "classic"])["macro_f1"]
    )


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 gold answers but 1"):
        score_all(TAGS, ["comedy", "action"], ["comedy"])
    with pytest.raises(ValueError, match="no answers"):
        score_all(TAGS, [], [])
