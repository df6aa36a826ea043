"""Words of every script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.rouge import tokens
from hydra_ray.core.unicode_words import unicode_words


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
