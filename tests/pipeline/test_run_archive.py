"""A root and its archive: what one root has finished, another has."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.run_archive import RunArchive
from hydra_ray.pipeline.step import StepResult, run_step


class Root:
    def __init__(self, root: Path, archive: Path) -> None:
        self.root, self.lines, self.done = root, list[str](), list[str]()
        self.archive = RunArchive(f"file://{archive}", root, self.lines.append)

    def step(self, name: str = "label", rows: int = 3) -> StepResult:
        def work(folder: Path) -> dict[str, int]:
            self.done.append(name)
            (folder / "rows").write_text(f"{rows} rows")
            return {"rows": rows}

        return run_step(self.root, name, 1, {"rows": rows}, {}, work, self.lines.append, self.archive)


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Root, Root]:
    return Root(tmp_path / "one", tmp_path / "archive"), Root(tmp_path / "other", tmp_path / "archive")


def test_a_step_that_one_root_has_done_is_fetched_by_another(roots: tuple[Root, Root]) -> None:
    one, other = roots
    first = one.step()
    (other.root / "steps" / f"{first.key}.partial").mkdir(parents=True)  # begun there, too
    second = other.step()
    assert (one.done, other.done) == (["label"], [])
    assert second.reused
    assert second.manifest == first.manifest
    assert (second.path / "rows").read_text() == "3 rows"
    assert f"label: fetched from the archive ({first.key})" in other.lines
    assert [path.name for path in (other.root / "steps").iterdir() if path.name[0] != "."] == [first.key]


def test_a_step_that_was_done_before_there_was_an_archive_gets_there(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        (folder / "rows").write_text("x")

    before = run_step(tmp_path / "one", "label", 1, {"rows": 3}, {}, work, lambda line: None)
    one = Root(tmp_path / "one", tmp_path / "archive")
    assert one.step().reused
    other = Root(tmp_path / "other", tmp_path / "archive")
    assert other.step().key == before.key
    assert other.done == []


def test_embeddings_are_not_in_their_steps_and_are_made_anew(roots: tuple[Root, Root]) -> None:
    one, other = roots
    one.step("encode-reranker")
    other.step("encode-reranker")
    assert other.done == ["encode-reranker"]


def test_a_run_comes_with_its_steps_and_without_a_services_state(roots: tuple[Root, Root]) -> None:
    one, other = roots
    steps = {name: one.step(name) for name in ("label", "train-reranker", "encode-reranker")}
    folder = one.root / "quick"
    write_steps(folder, {f"{name} seed 0": step.key for name, step in steps.items()})
    (folder / "serving").mkdir()
    (folder / "serving" / "users").write_text("private")
    (folder / "report.json").write_text("{}")
    one.archive.publish_run("quick")
    other.archive.fetch_run("quick")
    assert sorted(path.name for path in (other.root / "quick").iterdir()) == ["report.json", "steps.json"]
    here = {path.name for path in (other.root / "steps").iterdir() if path.name[0] != "."}
    assert here == {steps["label"].key, steps["train-reranker"].key}


def test_what_the_archive_does_not_hold_is_one_line(roots: tuple[Root, Root]) -> None:
    one, other = roots
    with pytest.raises(UserError, match="holds no run 'quick'; finish that run first"):
        other.archive.fetch_run("quick")
    write_steps(one.root / "quick", {"label seed 0": "label-0123456789ab"})
    one.archive.publish_run("quick")
    with pytest.raises(UserError, match="the step label-0123456789ab of run 'quick' is not there"):
        other.archive.fetch_run("quick")
