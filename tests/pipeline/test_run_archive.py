"""A root and its archive: what one root has finished, another has."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline import run_archive
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.run_archive import RunArchive
from hydra_ray.pipeline.step import StepResult, run_step, step_key


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


FITS = step_key("fit-reranker", 1, {}, {})


def fit(root: Root, work: Callable[[Path], None]) -> StepResult:
    return run_step(root.root, "fit-reranker", 1, {}, {}, work, root.lines.append, root.archive)


def half(folder: Path) -> None:
    """Does half of a step's work and ends."""
    (folder / "scratch" / "train").mkdir(exist_ok=True)
    for name in ("bucket-0", "scratch/train/checkpoint", "scratch/rows"):
        (folder / name).write_text("kept")
    raise KeyboardInterrupt


def test_a_step_that_one_root_has_begun_is_continued_by_another(roots: tuple[Root, Root]) -> None:
    one, other = roots
    with pytest.raises(KeyboardInterrupt):
        fit(one, half)
    found = []

    def rest(folder: Path) -> None:
        found.extend(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))

    assert fit(other, rest).key == FITS
    assert found == ["bucket-0", "scratch/train/checkpoint"]  # the rest is made anew
    assert other.lines[0] == f"fit-reranker: going on from what the archive has of it ({FITS})"
    assert other.lines[1].startswith("fit-reranker: continuing")
    assert not other.archive._folders.store.sizes(f"unfinished/{FITS}")
    assert not fit(one, half).manifest["counts"]  # the other's


def test_what_a_root_has_of_a_step_itself_goes_first(roots: tuple[Root, Root]) -> None:
    one, other = roots
    for root in (one, other):
        with pytest.raises(KeyboardInterrupt):
            fit(root, half)
    fit(one, lambda folder: (folder / "mine").write_text((folder / "scratch" / "rows").read_text()) and None)
    assert one.lines[-2].startswith("fit-reranker: continuing")


def test_a_step_is_saved_while_it_works(roots: tuple[Root, Root], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = roots
    monkeypatch.setattr(run_archive, "SAVE_EVERY_S", 0.02)

    def work(folder: Path) -> None:
        (folder / "bucket-0").write_text("kept")
        while one.archive._folders.store.read(f"unfinished/{FITS}/current.json") is None:  # written last
            time.sleep(0.01)
        # Its machine is gone: what it has at this moment is what another root finds.
        copied = other.root / "steps" / "looked-at"
        other.archive.restore_unfinished(FITS, copied)
        assert (copied / "bucket-0").read_text() == "kept"

    fit(one, work)


def test_a_store_that_refuses_is_one_line_and_the_step_goes_on(
    roots: tuple[Root, Root], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = roots
    store = one.archive._folders.store

    def refused(*arguments: object) -> None:
        raise UserError("archive file://there: cannot write unfinished: no room")

    with monkeypatch.context() as patch:
        patch.setattr(store, "upload", refused)
        patch.setattr(run_archive, "SAVE_EVERY_S", 0.01)

        def work(folder: Path) -> None:
            (folder / "bucket-0").write_text("kept")
            time.sleep(0.2)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(one, work)
    refusals = [line for line in one.lines if "no room" in line]
    assert refusals == [
        "archive file://there: cannot write unfinished: no room; "
        f"what fit-reranker has done is in {one.root} alone"
    ]  # fmt: skip
    store.write(f"unfinished/{FITS}/current.json", b"{")
    fit(other, lambda folder: None)
    assert other.lines[0].endswith("current.json is broken; fit-reranker begins anew")


def test_steps_that_are_done_soon_are_not_saved(roots: tuple[Root, Root]) -> None:
    one, _ = roots

    def work(folder: Path) -> None:
        (folder / "rows").write_text("some")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_step(one.root, "label", 1, {}, {}, work, one.lines.append, one.archive)
    assert not one.archive._folders.store.sizes("unfinished")
