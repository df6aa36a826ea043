"""No file is written over one that is read."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils.output_files import check_outputs, check_overwrites


def test_other_files_pass(tmp_path: Path) -> None:
    check_outputs({"--out": tmp_path / "a", "--merged": None}, [tmp_path / "b", None])


def test_a_file_that_is_read_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match=r"^--out .*link: is a file that is read; write elsewhere$"):
        check_outputs({"--out": tmp_path / "link"}, [tmp_path / "a"])


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--merged .*: is the file of --out; write elsewhere$"):
        check_outputs({"--out": tmp_path / "a", "--merged": tmp_path / "." / "a"}, [])
    with pytest.raises(UserError, match=r"^--out .*a: is the file of --out; write elsewhere$"):
        check_overwrites([("--out", tmp_path / "a"), ("--out", tmp_path / "b" / ".." / "a")], [])


@pytest.mark.parametrize("name", ["", ".", "/", "here"])
def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^--out .*: is a folder; give a file in it$"):
        check_outputs({"--out": Path(name)}, [])


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--out .*: there is no folder .*nowhere; make it, or give another file$"):
        check_outputs({"--out": tmp_path / "nowhere" / "a"}, [])
