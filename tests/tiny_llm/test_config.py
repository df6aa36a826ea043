"""Settings of the training from YAML and overrides; every mistake is one line that names the place."""

from pathlib import Path

import pytest

from hydra_ray.config import load_settings
from hydra_ray.errors import UserError
from hydra_ray.tiny_llm.config import TinyLLMConfig

CONFIG = Path(__file__).parents[2] / "configs" / "tiny_llm.yaml"


def test_the_shipped_config_is_valid() -> None:
    assert load_settings(TinyLLMConfig, CONFIG).tasks == TinyLLMConfig().tasks
    assert load_settings(TinyLLMConfig, None) == TinyLLMConfig()


def test_overrides() -> None:
    config = load_settings(TinyLLMConfig, CONFIG, ["steps=7", "shape.layers=2", "data_root=data", "task=lamp_3"])
    assert (config.steps, config.shape.layers, config.data_root, config.task) == (7, 2, "data", "lamp_3")


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("stps: 3", [], "did you mean 'steps'"),
        ("steps: zero", [], "steps: "),
        ("[1]", [], "is a mapping"),
        ("a: [", [], "cannot be read"),
        ("steps: 3", ["steps"], "section.key=value"),
        ("steps: 3", ["steps.more=1"], "not a section"),
        ("steps: 3", ["steps=["], "steps: "),
        ("shape: {width: 100, heads: 3}", [], "multiple"),
    ],
)
def test_mistakes_are_named(text: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        load_settings(TinyLLMConfig, file, overrides)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_settings(TinyLLMConfig, tmp_path / "none.yaml")
