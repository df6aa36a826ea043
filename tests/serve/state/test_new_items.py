"""Answers and dates of clients, read as the ingest reads them."""

import pytest

from hydra_ray.config import DataConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.serve.schemas import NewItem
from hydra_ray.serve.state.new_items import NewAnswers, NewDates
from hydra_ray.serve.types import InvalidError

RATINGS, HEADLINES = NewAnswers(load_task("lamp_3")), NewAnswers(load_task("lamp_4"))


def item(answer: str = "", date: str = "") -> NewItem:
    return NewItem(item_id="i1", text="t", answer=answer, date=date)


def test_answers_are_spelt_as_the_task_spells_them() -> None:
    assert RATINGS.read([item("5.0"), item(" 4 "), item("")]) == ["5", "4", ""]
    assert HEADLINES.read([item("Any  text"), item("")]) == ["Any  text", ""]


def test_an_answer_of_no_label_is_named_with_all_labels() -> None:
    with pytest.raises(InvalidError) as raised:
        RATINGS.read([item("5"), item("great" * 30)])
    assert raised.value.param == "items[1].answer"
    assert raised.value.why.endswith("is no answer of this task; give none, or one of: 1, 2, 3, 4, 5")
    assert "'greatgreat" in raised.value.why
    assert len(raised.value.why) < 200
    assert RATINGS.problem(item("")) is None
    assert HEADLINES.problem(item("anything")) is None


def test_dates_are_canonical() -> None:
    dates = NewDates(DataConfig())
    assert dates.read(item(date="2024-01-13T10:11:12+01:00")) == "2024-01-13T09:11:12"
    assert dates.read(item()) == ""
    assert dates.problem(item(date="2024")) is None
    assert dates.read(item(date="soon")) == ""
    assert "'soon' of item 'i1' is no date that is read" in (dates.problem(item(date="soon")) or "")


def test_the_form_of_the_runs_own_data_is_read_too() -> None:
    data = DataConfig.model_validate({"source": "tabular", "root": "x", "tabular": {"date_format": "%d.%m.%Y"}})
    dates = NewDates(data)
    assert dates.read(item(date="13.01.2024")) == "2024-01-13"
    assert (dates.problem(item(date="soon")) or "").endswith("or %d.%m.%Y as the run's data")
