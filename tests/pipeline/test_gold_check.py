"""The line before the first paid call where ROUGE would see nothing."""

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.pipeline.gold_check import wordless_golds

HEADLINE = load_task("lamp_4")
UNICODE = HEADLINE.model_copy(update={"rouge": "unicode"})


def _user(*golds: str) -> User:
    items = tuple(HistoryItem(str(i), "text", "text", gold) for i, gold in enumerate(golds))
    return User("u", "test", items, (Question("q", "text", golds[0], (0,)),))


@pytest.mark.parametrize("gold", ["Тихий мост", "安静的桥", "هدوء"])
def test_other_scripts_need_the_unicode_words(gold: str) -> None:
    warning = wordless_golds(HEADLINE, [_user(gold, gold)])
    assert "3 of 3" in warning
    assert repr(gold) in warning
    assert "rouge: unicode" in warning
    assert wordless_golds(UNICODE, [_user(gold, gold)]) == ""


def test_pictures_have_no_words_in_any_way() -> None:
    assert "answer_field" in wordless_golds(UNICODE, [_user("🙂", "🙂")])


def test_no_warning_of_one_in_a_hundred_or_of_labels() -> None:
    assert wordless_golds(HEADLINE, [_user(*["A headline"] * 100, "мост")]) == ""
    assert wordless_golds(load_task("lamp_2n"), [_user("мост")]) == ""
    assert wordless_golds(HEADLINE, []) == ""
