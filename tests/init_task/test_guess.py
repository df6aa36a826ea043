"""What columns are taken for, on rows made by hand."""

import pytest

from hydra_ray.errors import UserError
from hydra_ray.init_task.guess import Given
from tests.init_task.guesses import guessed


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
    assert guessed(tag=None, score=[1_000_000, 1_000_002]).labels == ("1000000", "1000001", "1000002")
    assert guessed(tag=None, score=[0.00001, -0.0, 1.2345678]).labels == ("0", "0.00001", "1.2345678")


def test_a_named_column_of_booleans_has_two_labels() -> None:
    found = guessed(Given(answer="label"), tag=None, label=[True, False])
    assert (found.kind, found.labels) == ("classification", ("false", "true"))


def test_free_text_keeps_its_lines() -> None:
    found = guessed(tag=None, reply=lambda i: f"Dear you,\n\nthank you {i}")
    assert (found.kind, found.labels, found.single_line) == ("generation", (), False)
    found = guessed(tag=None, title=lambda i: f"Headline number {i}")
    assert (found.kind, found.answer.column, found.single_line) == ("generation", "title", True)


def test_a_title_belongs_to_the_text_unless_it_is_the_answer() -> None:
    found = guessed(subject=lambda i: f"Subject {i}")
    assert [choice.column for choice in found.texts] == ["subject", "text"]
    assert found.answer.column == "tag"


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
