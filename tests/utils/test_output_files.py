"""No file is written over one that is read."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils.output_files import check_outputs


def test_other_files_pass(tmp_path: Path) -> None:
    check_outputs({"--out": tmp_path / "a", "--merged": None}, [tmp_path / "b", None])


def test_a_file_that_is_read_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match=r"^--out .*link: is a file that is read; give another one$"):
        check_outputs({"--out": tmp_path / "link"}, [tmp_path / "a"])


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--merged .*: is the file of --out; give another one$"):
        check_outputs({"--out": tmp_path / "a", "--merged": tmp_path / "b" / ".." / "a"}, [])
