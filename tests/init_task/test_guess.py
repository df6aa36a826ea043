"""What columns are taken for, on rows made by hand."""

from typing import Any

import pytest

from hydra_ray.errors import UserError
from hydra_ray.init_task.columns import look
from hydra_ray.init_task.guess import NOTHING, Given, Guess, guess

LONG = ["The parcel came late and the box was open", "I cannot log in since the last update", "Please send it again"]


def rows(count: int = 12, **columns: Any) -> list[dict[str, Any]]:
    """Rows of three users; a column is a list that repeats, or a function of the row's number."""
    base: dict[str, Any] = {"user_id": ["a", "b", "c"], "text": lambda i: f"{LONG[i % 3]} {i}", "tag": ["x", "y"]}
    made = {name: column for name, column in {**base, **columns}.items() if column is not None}
    return [
        {name: column(i) if callable(column) else column[i % len(column)] for name, column in made.items()}
        for i in range(count)
    ]


def guessed(given: Given = NOTHING, count: int = 12, **columns: Any) -> Guess:
    return guess(*look(rows(count, **columns)), given)


def test_labels_are_few_short_values_that_recur() -> None:
    found = guessed(tag=["billing", "Login", "login", "billing"], id=lambda i: i, date=["2024-01-02"])
    assert (found.kind, found.labels) == ("classification", ("Login", "billing"))
    columns = (found.user, found.item_id, found.date, *found.texts, found.answer)
    assert [choice.column for choice in columns] == ["user_id", "id", "date", "text", "tag"]
    assert found.date_format is None


def test_a_label_column_needs_no_telling_name() -> None:
    found = guessed(tag=None, colour=["red", "blue"])
    assert (found.answer.column, found.answer.why, found.labels) == ("colour", "few distinct values that recur",
                                                                    ("blue", "red"))  # fmt: skip


def test_ratings_are_numbers_and_the_scale_has_no_gaps() -> None:
    found = guessed(tag=None, stars=[1, 5, 4])
    assert (found.kind, found.labels) == ("rating", ("1", "2", "3", "4", "5"))
    assert guessed(tag=None, score=["1.5", "2", "2.5"]).labels == ("1.5", "2", "2.5")


def test_free_text_keeps_its_lines() -> None:
    found = guessed(tag=None, reply=lambda i: f"Dear you,\n\nthank you {i}")
    assert (found.kind, found.labels, found.single_line) == ("generation", (), False)
    found = guessed(tag=None, title=lambda i: f"Headline number {i}")
    assert (found.kind, found.answer.column, found.single_line) == ("generation", "title", True)


def test_a_title_belongs_to_the_text_unless_it_is_the_answer() -> None:
    found = guessed(subject=lambda i: f"Subject {i}")
    assert [choice.column for choice in found.texts] == ["subject", "text"]
    assert found.answer.column == "tag"


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


def test_an_id_has_another_value_in_every_row() -> None:
    assert guessed(id=[1, 2, 3]).item_id.column == ""
    assert guessed(ticket_id=lambda i: f"T{i}").item_id.column == "ticket_id"


def test_named_columns_are_not_guessed() -> None:
    columns = {"who": ["p", "q"], "remark": lambda i: f"short {i}", "mood": ["good", "bad"]}
    found = guessed(Given(user="who", texts=("remark",), answer="mood"), user_id=None, tag=["x", "y"], **columns)
    assert (found.user.column, found.texts[0].column, found.answer.column) == ("who", "remark", "mood")
    assert found.labels == ("bad", "good")
    with pytest.raises(UserError, match="--user nobody: no such column: the rows have user_id, text, tag"):
        guessed(Given(user="nobody"))


def test_what_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"no column looks like the user's id .*--user; the rows have text, tag"):
        guessed(user_id=None)
    with pytest.raises(UserError, match=r"no column looks like the user's answer .*--answer"):
        guessed(tag=None)
    with pytest.raises(UserError, match="no column is left for the text that 'tag' answers: name it with --text"):
        guessed(text=None)
