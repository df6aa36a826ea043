"""Words of every script, and ROUGE and BLEU on them."""

import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.label_rules import adapter_rows
from hydra_ray.core.metrics import score_all
from hydra_ray.core.rouge import rouge_1, rouge_l, tokens
from hydra_ray.core.selection import self_consistency
from hydra_ray.core.tasks import load_task
from hydra_ray.core.unicode_words import spaced, unicode_words

LAMP = load_task("lamp_4")
OWN = LAMP.model_copy(update={"rouge": "unicode"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT's hat_rack, 12", ("the", "cat", "s", "hat", "rack", "12")),
        ("Тихий мост, Утром", ("тихий", "мост", "утром")),
        ("Straße STRASSE", ("strasse", "strasse")),
        ("Un café\u0301 e\u0301te\u0301", ("un", "café\u0301", "été")),
        ("安静的桥", ("安", "静", "的", "桥")),
        ("iPhone 15を買う", ("iphone", "15", "を", "買", "う")),
        ("コーヒー", ("コ", "ー", "ヒ", "ー")),
        ("ｺｰﾋｰ ＡＢＣ", ("コ", "ー", "ヒ", "ー", "abc")),
        ("조용한 다리", ("조용한", "다리")),
        ("هدوء الجسر", ("هدوء", "الجسر")),
        ("हिन्दी में", ("हिन्दी", "में")),
        ("ที่นี่", ("ที่", "นี่")),
        ("ဗမာ", ("ဗ", "မာ")),
        ("🙂 …", ()),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert unicode_words(text) == words


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=60))
def test_ascii_words_are_lamps(text: str) -> None:
    assert tokens(text, "unicode") == tokens(text, "lamp")


@given(st.text(max_size=40))
def test_words_hold_no_blank_and_their_words_are_themselves(text: str) -> None:
    words = unicode_words(text)
    assert all(word and not any(letter.isspace() for letter in word) for word in words)


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
