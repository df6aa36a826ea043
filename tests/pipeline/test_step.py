import errno
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.pipeline.step import StepResult, fingerprint, run_step, step_key


def test_a_finished_step_is_not_done_again_and_says_what_it_was(tmp_path: Path) -> None:
    calls = []

    def work(folder: Path) -> dict[str, int]:
        calls.append(folder)
        (folder / "out.txt").write_text("x")
        return {"rows": 3}

    first = run_step(tmp_path, "s", 1, {"a": 1}, {"in": "k"}, work, lambda line: None)
    again = run_step(tmp_path, "s", 1, {"a": 1}, {"in": "k"}, work, lambda line: None)
    assert len(calls) == 1
    assert (first.path, again.reused) == (again.path, True)
    manifest = json.loads((first.path / "manifest.json").read_text())
    assert (manifest["counts"], manifest["config"], manifest["inputs"]) == ({"rows": 3}, {"a": 1}, {"in": "k"})
    assert manifest["versions"]["hydra_ray"]


def test_a_failed_step_leaves_no_result_and_continues_in_its_own_folder(tmp_path: Path) -> None:
    def breaks(folder: Path) -> None:
        (folder / "half").write_text("kept")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run_step(tmp_path, "s", 1, {}, {}, breaks, lambda line: None)
    assert not (tmp_path / "steps" / step_key("s", 1, {}, {})).exists()
    lines: list[str] = []
    result = run_step(tmp_path, "s", 1, {}, {}, lambda f: {"half": (f / "half").read_text()}, lines.append)
    assert result.manifest["counts"] == {"half": "kept"}
    assert "continuing" in lines[0]
    assert not (result.path / "scratch").exists()


def test_the_key_follows_config_inputs_and_code() -> None:
    base = step_key("s", 1, {"a": 1, "b": 2}, {"i": "x"})
    assert base == step_key("s", 1, {"b": 2, "a": 1}, {"i": "x"})
    others = [
        step_key("s", 2, {"a": 1, "b": 2}, {"i": "x"}),
        step_key("s", 1, {"a": 2, "b": 2}, {"i": "x"}),
        step_key("s", 1, {"a": 1, "b": 2}, {"i": "y"}),
        step_key("t", 1, {"a": 1, "b": 2}, {"i": "x"}),
    ]
    assert len({base, *others}) == 5


def test_a_root_that_a_step_makes_is_for_its_own_account_alone(tmp_path: Path) -> None:
    for root in (tmp_path / "new" / "runs", tmp_path / "there"):
        if root.name == "there":
            root.mkdir()
            root.chmod(0o750)
        run_step(root, "s", 1, {}, {}, lambda folder: None, lambda line: None)
    assert (tmp_path / "new" / "runs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o750


def test_a_fingerprint_follows_content_not_time(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a")
    before = fingerprint([tmp_path / "f"], tmp_path)
    (tmp_path / "f").write_text("a")
    assert fingerprint([tmp_path / "f"], tmp_path) == before
    (tmp_path / "f").write_text("b")
    assert fingerprint([tmp_path / "f"], tmp_path) != before


def test_a_fingerprint_tells_folders_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f").write_text(folder)
    assert set(fingerprint(tmp_path.glob("*/f"), tmp_path)) == {"a/f", "b/f"}


def test_two_runs_at_the_same_step_do_it_once(tmp_path: Path) -> None:
    lines: list[str] = []
    inside, go = threading.Event(), threading.Event()
    times: list[int] = []

    def work(folder: Path) -> None:
        times.append(1)
        inside.set()
        assert go.wait(30)

    def run() -> StepResult:
        return run_step(tmp_path, "s", 1, {}, {}, work, lines.append)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run)
        assert inside.wait(30)
        second = pool.submit(run)
        while not any("another run is at it" in line for line in lines):
            assert not second.done()
            time.sleep(0.01)
        go.set()
        assert not first.result(30).reused
        assert second.result(30).reused
    assert times == [1]


def test_a_full_disk_is_reported_by_the_error_that_met_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fills(folder: Path) -> None:
        def full(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        raise UserError("heads: the disk is full")

    with pytest.raises(UserError, match="heads: the disk is full"):
        run_step(tmp_path, "s", 1, {}, {}, fills, lambda line: None)
