"""Tasks in YAML."""

from pathlib import Path

import pytest

from hydra_ray.core.metrics import score_all
from hydra_ray.core.tasks import Task, builtin_tasks, load_task
from hydra_ray.errors import UserError

HEAD = "text_fields: [text]\nanswer_field: a\ninstruction: I\n"


@pytest.mark.parametrize(
    ("kind", "metric", "written", "labels"),
    [
        ("rating", "mae", "[1, 2, 3]", ("1", "2", "3")),
        ("rating", "mae", "[0.5, 1.0]", ("0.5", "1.0")),
        ("classification", "accuracy", "[-1, 0, '1', red]", ("-1", "0", "1", "red")),
    ],
)
def test_numbers_are_labels(tmp_path: Path, kind: str, metric: str, written: str, labels: tuple[str, ...]) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(f"{HEAD}kind: {kind}\nprimary_metric: {metric}\nlabels: {written}\n")
    assert load_task(str(path)).labels == labels


def test_truth_values_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(f"{HEAD}kind: classification\nprimary_metric: accuracy\nlabels: [yes, no]\n")
    with pytest.raises(UserError) as caught:
        load_task(str(path))
    assert f"{path}: labels: " in str(caught.value)
    assert "YAML reads yes, no, true, false, on and off as a truth value; put such labels in quotes" in str(
        caught.value
    )


def _task(**given: object) -> Task:
    common = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do.", "text_label": "Mail"}
    return Task.model_validate(common | given)


def test_a_label_listed_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="listed twice"):
        _task(kind="classification", primary_metric="accuracy", labels=["caf\u00e9", "cafe\u0301"])


@pytest.mark.parametrize(
    ("kind", "metric", "known"),
    [
        ("classification", "mae", "accuracy, macro_f1"),
        ("rating", "rouge1", "mae, rmse, accuracy, macro_f1"),
        ("generation", "macro_f1", "rouge1, rougeL, bleu"),
    ],
)
def test_a_metric_that_the_kind_does_not_have_is_one_line(tmp_path: Path, kind: str, metric: str, known: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(f"{HEAD}kind: {kind}\nprimary_metric: {metric}\nlabels: [1, 2]\n")
    with pytest.raises(UserError) as caught:
        load_task(str(path))
    assert str(caught.value) == f"{path}: task: primary_metric: a {kind} task has no {metric}; give one of {known}"


def test_a_rating_may_be_measured_as_labels_are() -> None:
    for metric in ("accuracy", "macro_f1"):
        task = _task(kind="rating", primary_metric=metric, labels=["1", "2"])
        assert score_all(task, ["1", "2"], ["1", "2"]) == {metric: 1, "mae": 0, "rmse": 0}


def test_builtin_tasks_cover_lamp_and_the_synthetic_world() -> None:
    assert {"lamp_1", "lamp_2m", "lamp_2n", "lamp_3", "lamp_4", "lamp_5", "lamp_6", "lamp_7"} <= set(builtin_tasks())
    assert len(load_task("lamp_2m").labels) == len(load_task("lamp_2n").labels) == 15


def test_an_own_task_file_with_a_mistake_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "kind: classification\ntext_fields: [text]\nanswer_field: tag\ninstruction: x\nprimary_metric: accuracy\n"
    )
    with pytest.raises(UserError, match="a classification task needs `labels`"):
        load_task(str(file))
    file.write_text(file.read_text() + "labels: [a, b]\n")
    assert load_task(str(file)).labels == ("a", "b")  # it is read again
    with pytest.raises(UserError, match="unknown task 'nonsense'"):
        load_task("nonsense")
