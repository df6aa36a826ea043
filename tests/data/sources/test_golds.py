"""The outputs files of LaMP: gold answers, and files of another task."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import DataConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources.find import Source, find_sources
from hydra_ray.data.sources.golds import lamp_id_of
from hydra_ray.errors import UserError
from tests.data.files import NEWS, RATING, golds, ingest_pure, lamp_root, question, write


def reasons(tmp_path: Path, train: Any, outputs: Any = None, **more: Any) -> list[tuple[str, str, str]]:
    return ingest_pure(lamp_root(tmp_path, train, outputs, **more), RATING, tmp_path / "out").reasons


def test_gold_entries(tmp_path: Path) -> None:
    entries = [{"id": "1", "output": "5"}, {"id": "1", "output": "4"}, {"id": "7", "output": "4"}, {"id": "8"}, "x"]
    assert reasons(tmp_path, [question("1")], {"task": "LaMP_3", "golds": entries}) == [
        ("train_outputs.json", "1:1", "duplicate_gold"),
        ("train_outputs.json", "3", "malformed_gold"),
        ("train_outputs.json", "4", "malformed_gold"),
        ("train_outputs.json", "7", "gold_without_question"),
    ]


def test_an_outputs_file_for_more_questions_is_fine(tmp_path: Path) -> None:
    outputs = golds({str(i): "5" for i in range(1, 9)})
    assert {reason for _, _, reason in reasons(tmp_path, [question("1")], outputs)} == {"gold_without_question"}


def test_the_task_id_is_that_of_the_files(tmp_path: Path) -> None:
    root = lamp_root(tmp_path, train_golds=golds({"1": "5"}, "LaMP_3"), dev_golds=golds({"2": "4"}, "LaMP_3x"))
    sources = find_sources(DataConfig(source="lamp", root=str(root)), root)
    assert lamp_id_of(sources) == "LaMP_3x"
    (root / "dev_outputs.json").unlink()
    assert lamp_id_of(find_sources(DataConfig(source="lamp", root=str(root)), root)) == "LaMP_3"
    assert lamp_id_of([Source("tabular", 0, root / "train_questions.json")]) is None


def test_the_two_meanings_of_lamp_2_are_told_apart_by_the_fields(tmp_path: Path) -> None:
    news = [
        {"id": "1", "input": "article: x", "profile": [{"id": "p", "title": "T", "text": "A", "category": "women"}]}
    ]
    root = lamp_root(tmp_path, news, golds({"1": "crime"}, "LaMP_2"), [{**news[0], "id": "2"}], False)
    assert ingest_pure(root, NEWS, tmp_path / "out").users["q:train:1"].questions[0].gold == "crime"
    with pytest.raises(UserError) as caught:
        ingest_pure(root, load_task("lamp_2m"), tmp_path / "out2")
    assert str(caught.value) == (
        f"{root}/train_outputs.json: holds gold answers of LaMP_2 with items of category, id, text, title, "
        "but data.task is lamp_2m: set data.task: lamp_2n"
    )
    movies = [{"id": "1", "input": "description: x", "profile": [{"id": "p", "description": "A", "tag": "comedy"}]}]
    write(root / "train_questions.json", movies)
    write(root / "train_outputs.json", golds({"1": "action"}, "LaMP_2"))
    write(root / "dev_questions.json", [{**movies[0], "id": "2"}])
    assert ingest_pure(root, load_task("lamp_2m"), tmp_path / "out3").users["q:train:1"].items[0].answer == "comedy"
