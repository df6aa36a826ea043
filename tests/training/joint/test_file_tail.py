import time
from pathlib import Path

from hydra_ray.training.joint.file_tail import FileTail, append_line


def test_new_whole_lines_are_logged_once_in_order(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    append_line(file, "of an earlier run")
    lines: list[str] = []
    with FileTail(file, lines.append, every_s=0.01):
        append_line(file, "erste Zeile: ä")
        append_line(file, "second")
        until = time.monotonic() + 10
        while len(lines) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        with file.open("a") as stream:
            stream.write("half")
    assert lines == ["erste Zeile: ä", "second"]


def test_a_file_that_never_comes_is_no_error(tmp_path: Path) -> None:
    with FileTail(tmp_path / "none", print, every_s=0.01):
        pass
