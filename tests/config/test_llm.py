"""The section `llm`: no secrets, and nothing that a run decides itself."""

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hydra_ray.config import LLMApplicationConfig, LLMConfig


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


def test_an_encoder_decoder_answers_in_the_run_and_not_over_http() -> None:
    serve = {"engine": "transformers", "source": "google/flan-t5-base"}
    config = LLMConfig.model_validate({"serve": {**serve, "num_beams": 4}})
    assert config.in_process
    assert not config.model_copy(update={"base_url": "http://127.0.0.1:9/v1"}).in_process
    assert not LLMConfig().in_process


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"serve": {"num_beams": 4}}, "num_beams: 4 beams need engine: transformers; give 1"),
        ({"serve": {"engine": "transformers"}}, "source: the packaged LLM is a decoder"),
        ({"serve": {"engine": "transformers", "source": "a/b", "lora": {"folder": "x"}}}, "lora.folder: adapters need"),
        ({"serve": {"engine": "transformers", "source": "a/b"}, "extra_body": {"x": 1}}, "extra_body: no server is"),
        ({"serve": {"engine": "transformers", "source": "a/b"}, "parameters": {"n": None}}, "parameters: no server is"),
    ],
)
def test_what_does_not_go_with_an_engine_is_one_line(given: dict[str, Any], line: str) -> None:
    assert line in refused(**given)


def test_an_encoder_decoder_is_no_application() -> None:
    given = {"serve": {"engine": "transformers", "source": "a/b", "port": 8199}}
    with pytest.raises(ValidationError, match="an application serves vllm"):
        LLMApplicationConfig.model_validate(given)
