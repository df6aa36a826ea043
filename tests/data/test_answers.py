import unicodedata
from decimal import Decimal

import pytest

from hydra_ray.data.answers import AnswerError, Answers
from tests.data.files import HEADLINE, NEWS, NOTES, RATING


@pytest.mark.parametrize("raw", [5, 5.0, "5", "5.0", " 5"])
def test_ratings_are_compared_as_numbers(raw: object) -> None:
    assert Answers(RATING).read(raw) == "5"


@pytest.mark.parametrize(
    ("raw", "label"), [("politics", "politics"), (" Politics\n", "politics"), ("STYLE & BEAUTY", "style & beauty")]
)
def test_classes_are_compared_without_case(raw: str, label: str) -> None:
    assert Answers(NEWS).read(raw) == label


def test_the_tasks_own_spelling_counts() -> None:
    assert Answers(NOTES).read("blue SKY") == "BLUE sky"


NUMBERS = NOTES.model_copy(update={"labels": ("1", "2.0", "true")})


@pytest.mark.parametrize(
    ("raw", "label"),
    [(1, "1"), (1.0, "1"), (Decimal("1.00"), "1"), ("1", "1"), (2.0, "2.0"), (True, "true"), ("TRUE", "true")],
)
def test_numbers_and_truth_values_as_classes(raw: object, label: str) -> None:
    assert Answers(NUMBERS).read(raw) == label


@pytest.mark.parametrize("raw", [False, 3, 1.5, float("inf")])
def test_numbers_and_truth_values_that_are_no_class(raw: object) -> None:
    with pytest.raises(AnswerError, match="label"):
        Answers(NUMBERS).read(raw)


def test_free_text_stays_as_it_is() -> None:
    assert Answers(HEADLINE).read(" A  Headline ") == " A  Headline "


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        ("", "missing"),
        (" ", "missing"),
        (True, "label"),
        (["5"], "label"),
    ],
)
def test_no_answer(raw: object, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        Answers(HEADLINE).read(raw)


@pytest.mark.parametrize("raw", ["6", "4.5", "nan", "inf", "five", 0])
def test_no_label_of_the_scale(raw: object) -> None:
    with pytest.raises(AnswerError, match="label"):
        Answers(RATING).read(raw)


@pytest.mark.parametrize("labels_form", ["NFC", "NFD"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_classes_are_compared_in_one_unicode_form(labels_form: str, form: str) -> None:
    labels = [unicodedata.normalize(labels_form, label) for label in ("café", "thé")]
    task = NEWS.model_validate(NEWS.model_dump() | {"labels": labels})
    assert Answers(task).read(unicodedata.normalize(form, " CAFÉ")) == task.labels[0] == "caf\u00e9"
