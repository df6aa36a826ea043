"""What classification and rating have in common."""

import pytest
from pydantic import ValidationError

from hydra_ray.core.tasks import Task, load_task

MOVIE = load_task("lamp_2m")


@pytest.mark.parametrize(("kind", "metric"), [("classification", "accuracy"), ("rating", "mae")])
def test_labels_are_needed(kind: str, metric: str) -> None:
    about = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do."}
    with pytest.raises(ValidationError, match=f"a {kind} task needs `labels`"):
        Task.model_validate({**about, "kind": kind, "primary_metric": metric})


def test_samples_agree_on_the_most_frequent_ties_to_the_earliest() -> None:
    assert MOVIE.rules.consensus(MOVIE, ["comedy", "action", "action"]) == "action"
    assert MOVIE.rules.consensus(MOVIE, ["comedy", "action"]) == "comedy"


def test_where_the_llm_goes_on_with_another_example_the_answer_ends() -> None:
    answer = f"comedy\n{MOVIE.text_label}: another film\n{MOVIE.answer_label}: action"
    assert MOVIE.rules.parse(MOVIE, answer) == "comedy"


def test_a_gold_that_is_no_label_stays() -> None:
    assert MOVIE.rules.parse_gold(MOVIE, "Comedy") == "comedy"
    assert MOVIE.rules.parse_gold(MOVIE, "no  such\nlabel") == "no such label"
    assert MOVIE.rules.is_answer(MOVIE, "comedy")
    assert not MOVIE.rules.is_answer(MOVIE, "no such label")
