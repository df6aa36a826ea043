"""Every block of docs/python-api.md and every example in a docstring of the API runs."""

import doctest
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import hydra_ray
from hydra_ray.api import pipeline, results
from hydra_ray.config import Config
from hydra_ray.pipeline import stages
from hydra_ray.serve import app

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"


@pytest.fixture
def next_to_a_run(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder holds `runs/quickstart` and its config; nothing is run or deployed for real."""
    shutil.copytree(run_folder.parent, tmp_path / "runs")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quickstart.yaml").write_text("protocol: {train_users: 4}\n")
    monkeypatch.chdir(tmp_path)
    done: list[Config] = []
    monkeypatch.setattr(stages, "run_stage", lambda stage, config: done.append(config))
    monkeypatch.setattr(app, "build_app", lambda config: config)
    return tmp_path


def test_every_block_of_the_page_runs(next_to_a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    assert "quickstart has no user 'nobody'" in capsys.readouterr().out
    assert names["made"].answers == ["dune"] or set(names["made"].answers) == {"dune", "maple"}
    assert (next_to_a_run / "news-tagger" / "README.md").exists()
    assert names["run"].name == "quickstart"
    assert names["app"].scorer.threads == 2


def test_the_page_names_everything_that_is_public() -> None:
    page = PAGE.read_text()
    assert [name for name in hydra_ray.__all__ if f"`{name}" not in page and f"hydra_ray.{name}" not in page] == [
        "PersonalizedAnswer",
        "Run",
        "UserHead",
        "__version__",
    ]


@pytest.mark.parametrize("module", [results, pipeline])
def test_the_examples_of_docstrings_are_right(module: Any, next_to_a_run: Path) -> None:
    def my_llm(messages: list[dict[str, str]], n: int, temperature: float, max_tokens: int) -> list[str]:
        return ["dune"] * n

    found = doctest.testmod(module, extraglobs={"my_llm": my_llm}, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
