from pathlib import Path

import pytest

from tests.llm.conftest import threaded_server
from tests.pipeline.fitted_world import make_config, write_answers, write_base

__all__ = ["threaded_server"]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_base(tmp_path, make_config(tmp_path))
    write_answers(tmp_path / "answered")
    return tmp_path
