"""`hydra-ray tiny-llm train`: reads the training's YAML and its overrides, then trains."""

from collections.abc import Sequence
from pathlib import Path

from hydra_ray.config import load_settings
from hydra_ray.tiny_llm.config import TinyLLMConfig


def train_from_file(file: Path | None, overrides: Sequence[str], out: Path) -> None:
    """Train with the settings of `file` and `overrides` into the folder `out`; goes on where a killed one stopped.

    Raises UserError as `load_settings` does.
    """
    from hydra_ray.tiny_llm.train import run

    run(load_settings(TinyLLMConfig, file, overrides), out)
