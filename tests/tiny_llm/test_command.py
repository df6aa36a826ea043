"""Settings of the training from YAML and overrides; every mistake is one line that names the place."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.tiny_llm.command import load_tiny_config
from hydra_ray.tiny_llm.config import TinyLLMConfig

CONFIG = Path(__file__).parents[2] / "configs" / "tiny_llm.yaml"


def test_the_shipped_config_is_valid() -> None:
    assert load_tiny_config(CONFIG).tasks == TinyLLMConfig().tasks
    assert load_tiny_config(None) == TinyLLMConfig()


def test_overrides() -> None:
    config = load_tiny_config(CONFIG, ["steps=7", "shape.layers=2", "data_root=data", "task=lamp_3"])
    assert (config.steps, config.shape.layers, config.data_root, config.task) == (7, 2, "data", "lamp_3")


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("stps: 3", [], "did you mean steps"),
        ("steps: zero", [], "steps: "),
        ("[1]", [], "is a mapping"),
        ("a: [", [], "cannot be read"),
        ("steps: 3", ["steps"], "key=value"),
        ("steps: 3", ["steps.more=1"], "no section"),
        ("steps: 3", ["steps=["], "no YAML value"),
        ("shape: {width: 100, heads: 3}", [], "multiple"),
    ],
)
def test_mistakes_are_named(text: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        load_tiny_config(file, overrides)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_tiny_config(tmp_path / "none.yaml")
