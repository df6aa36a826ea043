from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import LLMConfig
from tests.models.small_t5 import write_t5


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random T5; nothing changes it."""
    return write_t5(tmp_path_factory.mktemp("t5") / "model")


@pytest.fixture
def config(t5: Path) -> Callable[..., LLMConfig]:
    """Settings of a run that asks it. serve: of `llm.serve`; the others of `llm`."""

    def make(serve: dict[str, Any] | None = None, **more: Any) -> LLMConfig:
        whole = {"engine": "transformers", "source": str(t5), "threads": 1, **(serve or {})}
        return LLMConfig.model_validate({"model": "tiny-t5", "serve": whole, **more})

    return make
