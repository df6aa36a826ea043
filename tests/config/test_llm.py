"""The section `llm`: no secrets, and nothing that a run decides itself."""

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hydra_ray.config import LLMConfig


def refused(**given: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        LLMConfig.model_validate(given)
    return str(raised.value.errors()[0]["msg"])


def test_versions_that_yaml_reads_otherwise_are_texts() -> None:
    config = LLMConfig.model_validate({"query": {"api-version": datetime.date(2024, 10, 21), "v": 1}})
    assert config.query == {"api-version": "2024-10-21", "v": "1"}


def test_secrets_stand_in_the_environment() -> None:
    message = refused(headers={"Authorization": "Bearer sk-123"})
    assert "write Authorization: $VARIABLE" in message
    assert "sk-123" not in message
    assert LLMConfig(headers={"Authorization": "Bearer $TOKEN"}).headers == {"Authorization": "Bearer $TOKEN"}
    assert "X-Team: holds characters that cannot be sent" in refused(headers={"X-Team": "a\nb"})


@pytest.mark.parametrize(
    ("name", "instead"),
    [("model", "use llm.model"), ("max_tokens", "max_answer_tokens"), ("n", "adapter.num_samples"), ("seed", "here")],
)
def test_further_fields_replace_none_that_a_run_sets(name: str, instead: str) -> None:
    message = refused(extra_body={name: 1})
    assert f"{name}: cannot be set here" in message
    assert instead in message
