import pytest
from pydantic import ValidationError

from hydra_ray.config import DataConfig, TabularConfig, load_config
from hydra_ray.errors import UserError


def test_a_declared_form_of_dates_must_be_one_that_can_be_read() -> None:
    assert TabularConfig(date_format="%d/%m/%Y").date_format == "%d/%m/%Y"
    assert TabularConfig().date_format is None
    with pytest.raises(ValidationError, match="date_format"):
        TabularConfig(date_format="day and month")


@pytest.mark.parametrize(
    ("written", "read"),
    [("2024-06-30", "2024-06-30"), ("2024", "2024"), ("2024-06-30 12:00", "2024-06-30T12:00"), ("null", None)],
)
def test_a_date_of_questions_is_read_as_yaml_writes_it(written: str, read: str | None) -> None:
    assert load_config(None, [f"data.questions_after={written}"]).data.questions_after == read


def test_a_date_of_questions_that_is_none() -> None:
    with pytest.raises(UserError, match=r"data.questions_after: is no date; write it as 2024-06-30 \(got 'spring'\)"):
        load_config(None, ["data.questions_after=spring"])


def test_what_most_runs_do_not_use_is_no_part_of_the_ingests_address() -> None:
    plain = DataConfig()
    assert not {"max_history", "questions_after", "root", "synth"} & plain.identity().keys()
    cut = DataConfig(max_history=5, questions_after="2024")
    assert cut.identity() == {**plain.identity(), "max_history": 5, "questions_after": "2024"}
