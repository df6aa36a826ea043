"""The package's own weights as files."""

import json

from hydra_ray.tiny_llm.config import TinyLLMConfig
from hydra_ray.tiny_llm.export import FILES, embedded_path
from hydra_ray.tiny_llm.probe import CONDITIONS

BY_NAME = {condition.name: condition for condition in CONDITIONS}


def test_files() -> None:
    files = list(embedded_path().iterdir())
    assert {path.name for path in files} == set(FILES)
    assert sum(path.stat().st_size for path in files) <= 4 * 1024 * 1024


def test_manifest_is_complete() -> None:
    manifest = json.loads((embedded_path() / "manifest.json").read_text())
    TinyLLMConfig.model_validate(manifest["config"])
    assert manifest["command"].startswith("hydra-ray tiny-llm train")
    for task in ("tagging", "rating", "headline"):
        assert set(BY_NAME) <= set(manifest["behaviour"][task])
