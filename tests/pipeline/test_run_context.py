"""A step that loses a worker or a node goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import NodeDiedError

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import model_identity
from hydra_ray.pipeline.run_context import LOSSES, RunContext
from tests.models.small_t5 import write_t5


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    monkeypatch.setattr("hydra_ray.utils.settled_nodes.wait_until_settled", lambda: None)
    found = RunContext(Config.model_validate({"root": str(tmp_path / "runs")}))
    found._ray = True
    return found


def failing(times: int, error: Callable[[], Exception]) -> tuple[Callable[[Path], dict[str, Any]], list[Path]]:
    """Work that fails so many times, having left a file each time; and the folders that it was given."""
    folders: list[Path] = []

    def work(folder: Path) -> dict[str, Any]:
        (folder / f"part-{len(folders)}").touch()
        folders.append(folder)
        if len(folders) <= times:
            raise error()
        return {"parts": len(list(folder.glob("part-*")))}

    return work, folders


def dead_node() -> Exception:
    return NodeDiedError("the node at 10.0.0.7 is gone\nand much more")


def test_a_step_that_loses_a_worker_goes_on_with_what_it_has(
    run: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    work, folders = failing(2, dead_node)
    assert run.step("label", 1, {}, {}, work).manifest["counts"] == {"parts": 3}
    assert len(set(folders)) == 1
    printed = capsys.readouterr().err
    assert printed.count("label: NodeDiedError: the node at 10.0.0.7 is gone; going on with what is left\n") == 2
    assert "much more" not in printed


def test_after_too_many_losses_there_is_one_line(run: RunContext) -> None:
    work, folders = failing(99, dead_node)
    with pytest.raises(UserError, match=r"^label: workers were lost 4 times, last NodeDiedError: the node at 10\.0"):
        run.step("label", 1, {}, {}, work)
    assert len(folders) == LOSSES + 1


@pytest.mark.parametrize("error", [lambda: ValueError("a bug"), lambda: UserError("a mistake")])
def test_all_else_ends_the_step_at_once(run: RunContext, error: Callable[[], Exception]) -> None:
    work, folders = failing(1, error)
    with pytest.raises((ValueError, UserError)):
        run.step("label", 1, {}, {}, work)
    assert len(folders) == 1


def test_an_encoder_decoder_is_not_served(tmp_path: Path) -> None:
    serve = {"engine": "transformers", "source": str(write_t5(tmp_path / "t5"))}
    config = Config.model_validate({"root": str(tmp_path / "runs"), "llm": {"serve": serve}})
    with RunContext(config) as found:
        with found.answering() as (asked, url):
            assert (asked, url) == (config, None)
        other = write_t5(tmp_path / "other", seed=1)
        with found.answering(other) as (asked, url):
            assert (asked.llm.serve.source, url) == (str(other), None)
            assert model_identity(asked.llm) != found.identity
