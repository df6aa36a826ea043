"""What makes a served model another application."""

from pathlib import Path

from hydra_ray.config import LLMConfig, LLMResources, ServeLLMConfig
from hydra_ray.llm import served_app


def _weights(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


def test_other_weights_or_settings_are_another_application(tmp_path):
    source = _weights(tmp_path)

    def name(wanted=LLMResources(), **serve) -> str:  # noqa: B008
        return served_app.application_name(LLMConfig(serve=ServeLLMConfig(source=source, **serve)), wanted)

    first = name()
    assert name() == first
    assert name(max_model_len=512) != first
    assert name(LLMResources(num_gpus=1)) != first
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert name() != first
