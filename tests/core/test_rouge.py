"""Words of every script, and ROUGE and BLEU on them."""

import random

import pytest
import sacrebleu

from hydra_ray.core.label_rules import adapter_rows
from hydra_ray.core.metrics import score_all
from hydra_ray.core.rouge import rouge_1, rouge_l
from hydra_ray.core.selection import self_consistency
from hydra_ray.core.tasks import load_task
from hydra_ray.core.unicode_words import spaced

LAMP = load_task("lamp_4")
OWN = LAMP.model_copy(update={"rouge": "unicode"})


@pytest.mark.parametrize("text", ["Тихий мост утром", "安静的桥", "هدوء الجسر", "ที่นี่", "हिन्दी में"])
def test_the_gold_text_scores_one(text: str) -> None:
    assert rouge_1(text, text, "unicode") == rouge_l(text, text, "unicode") == 1.0
    assert score_all(OWN, [text], [text])["rouge1"] == 1.0
    assert score_all(LAMP, [text], [text])["rouge1"] == 0.0  # rouge_score's own value


def test_shared_characters_count() -> None:
    # 3 of 4 characters shared, all in order.
    assert rouge_1("安静的桥", "安静的河", "unicode") == rouge_l("安静的桥", "安静的河", "unicode") == 0.75


def test_bleu_by_characters_is_sacrebleus_of_spaced_texts() -> None:
    golds, preds = ["今天早上我们看见了桥。"], ["今天早上我们看见了河。"]
    expected = sacrebleu.corpus_bleu([spaced(text) for text in preds], [[spaced(text) for text in golds]]).score
    assert score_all(OWN, golds, preds)["bleu"] == pytest.approx(expected)
    assert score_all(LAMP, golds, preds)["bleu"] == 0.0 < expected


def test_bleu_of_text_with_blanks_is_the_same_in_both_ways() -> None:
    draw = random.Random(0)
    words = ["The", "cat,", "a", "rug!", "Под", "мостом", "тихо"]
    golds, preds = ([" ".join(draw.choices(words, k=8)) for _ in range(9)] for _ in range(2))
    assert score_all(OWN, golds, preds)["bleu"] == score_all(LAMP, golds, preds)["bleu"]


def test_votes_and_labels_see_the_same_words() -> None:
    samples: list[str | None] = ["зимний лес", "тихий мост утром", "тихий мост", "тихий сад"]
    assert self_consistency(OWN, samples) == "тихий мост"
    assert self_consistency(LAMP, samples) == "зимний лес"  # all alike: the first
    assert [row.label for row in adapter_rows(OWN, "тихий мост утром", samples)] == [0, 1, 1, 0]
