"""Columns as they are found in a file."""

import pytest

from tests.init_task.guesses import LONG, guessed


def test_nested_columns_lists_and_booleans() -> None:
    mail = lambda i: {"body": f"{LONG[0]} {i}", "parts": ["a", "b"]}  # noqa: E731
    found = guessed(text=None, mail=mail, urgent=[True, False])
    assert [choice.column for choice in found.texts] == ["mail.body"]
    assert found.answer.column == "tag"


@pytest.mark.parametrize(
    ("values", "form", "reason"),
    [
        (["13/01/2024", "02/01/2024"], "%d/%m/%Y", ""),
        (["01/13/2024", "01/02/2024"], "%m/%d/%Y", ""),
        (["03/04/2024", "05/06/2024"], "%d/%m/%Y", "the other way round"),
        (["13.01.2024 10:11"], "%d.%m.%Y %H:%M", ""),
        (["2024-01-13T10:11:12+02:00"], None, ""),
        (["Sat, 13 Jan 2024 10:11:12 +0100"], None, ""),
    ],
)
def test_dates_are_known_by_their_values(values: list[str], form: str | None, reason: str) -> None:
    found = guessed(opened=values)
    assert (found.date.column, found.date_format) == ("opened", form)
    assert reason in found.date.why


def test_numbers_are_dates_where_the_name_says_so() -> None:
    assert guessed(unixReviewTime=[1700000000, 1700000001]).date.column == "unixReviewTime"
    assert guessed(price=[1700000000, 1700000001]).date.column == ""
