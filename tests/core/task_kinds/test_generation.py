import pytest
from pydantic import ValidationError

from hydra_ray.core.tasks import Task, load_task

HEADLINE = load_task("lamp_4")


def test_a_line_needs_less_than_paragraphs() -> None:
    many = HEADLINE.model_copy(update={"single_line": False})
    assert [HEADLINE.rules.answer_tokens(HEADLINE), many.rules.answer_tokens(many)] == [64, 512]


def test_there_are_no_labels_to_hide() -> None:
    about = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do."}
    with pytest.raises(ValidationError, match="a generation task has no labels to hide"):
        Task.model_validate({**about, "kind": "generation", "primary_metric": "rouge1", "hide_labels": "secret"})


def test_samples_agree_on_the_one_nearest_to_the_others() -> None:
    assert HEADLINE.rules.consensus(HEADLINE, ["frost and snow", "rain in spain falls", "rain in spain"]) == (
        "rain in spain falls"  # as near as the third, and earlier
    )


def test_without_an_llm_the_last_answer_that_says_something() -> None:
    assert HEADLINE.rules.from_history(HEADLINE, ["One", "Headline: Two", " ", "**"]) == "**"
    assert HEADLINE.rules.from_history(HEADLINE, ["One", '"Two"', " "]) == "Two"
    assert HEADLINE.rules.from_history(HEADLINE, []) == ""


def test_answers_in_the_users_data() -> None:
    spell = HEADLINE.rules.speller(HEADLINE)
    assert [spell(" Two\n", "Two"), spell(3, "3"), spell(True, "True")] == [" Two\n", "3", None]


def test_thoughts_come_off_until_nothing_more_does() -> None:
    assert HEADLINE.rules.parse(HEADLINE, '"<think>a</think>Headline: Two"') == "Two"
