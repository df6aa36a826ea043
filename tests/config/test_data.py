import pytest
from pydantic import ValidationError

from hydra_ray.config import TabularConfig


def test_a_declared_form_of_dates_must_be_one_that_can_be_read() -> None:
    assert TabularConfig(date_format="%d/%m/%Y").date_format == "%d/%m/%Y"
    assert TabularConfig().date_format is None
    with pytest.raises(ValidationError, match="date_format"):
        TabularConfig(date_format="day and month")
