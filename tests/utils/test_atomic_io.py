from pathlib import Path

import pytest

from hydra_ray.utils.atomic_io import write_atomically, write_text


def fail_midway(file: Path) -> None:
    with write_atomically(file) as part:
        part.write_text("ne")
        raise OSError("full")


def test_a_file_is_there_whole_or_as_it_was_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_text(file, "old")
    with pytest.raises(OSError, match="full"):
        fail_midway(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    write_text(file, "new")
    assert file.read_text() == "new"
