import pytest
from pydantic import ValidationError

from hydra_ray.core.tasks import Task, load_task

MAE = load_task("lamp_3").model_copy(update={"primary_metric": "mae"})
RMSE = MAE.model_copy(update={"primary_metric": "rmse"})


def test_labels_are_numbers() -> None:
    about = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do."}
    with pytest.raises(ValidationError, match="could not convert string to float: 'good'"):
        Task.model_validate({**about, "kind": "rating", "primary_metric": "mae", "labels": ["1", "good"]})


@pytest.mark.parametrize(
    ("answers", "median", "mean"),
    [(["1", "1", "5"], "1", "2.3333"), (["1", "2", "4", "5"], "4", "3"), (["2.0", "no", ""], "2", "2"), ([], "", "")],
)
def test_without_an_llm_the_constant_that_the_metric_likes_best(answers: list[str], median: str, mean: str) -> None:
    assert MAE.rules.from_history(MAE, answers) == median
    assert RMSE.rules.from_history(RMSE, answers) == mean


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_without_an_llm_the_most_frequent_where_answers_are_right_or_wrong(metric: str) -> None:
    task = MAE.model_copy(update={"primary_metric": metric})
    assert task.rules.from_history(task, ["1", "1", "1", "3", "5", "5", "4"]) == "1"
    assert task.rules.from_history(task, ["2", "4.0", "no"]) == "4"
    assert task.rules.from_history(task, []) == ""


def test_answers_in_the_users_data() -> None:
    spell = MAE.rules.speller(MAE)
    assert [spell(5, "5"), spell("5.0", "5.0"), spell("6", "6"), spell("x", "x"), spell(True, "1")] == [
        "5", "5", None, None, None,
    ]  # fmt: skip
