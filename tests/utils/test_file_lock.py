import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hydra_ray.utils import file_lock
from hydra_ray.utils.file_lock import exclusive_lock

HOLD = """
import pathlib, sys
from hydra_ray.utils.file_lock import exclusive_lock
with exclusive_lock(pathlib.Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_free_lock_is_taken_without_a_word_and_can_be_taken_again(tmp_path: Path) -> None:
    lines: list[str] = []
    file = tmp_path / "sub" / "lock"
    for _ in range(2):
        with exclusive_lock(file, lines.append):
            assert file.exists()
    assert lines == []


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), exclusive_lock(tmp_path / "lock", print):
        raise ValueError("inside")
    with exclusive_lock(tmp_path / "lock", pytest.fail):
        pass


def test_a_killed_process_leaves_the_lock_to_the_one_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "POLL_S", 0.01)
    waits = threading.Event()
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        waits.set()

    def take() -> bool:
        with exclusive_lock(tmp_path / "lock", log):
            return process.poll() is not None

    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process, ThreadPoolExecutor(1) as pool:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        taken = pool.submit(take)
        assert waits.wait(30)
        assert not taken.done()
        process.kill()
        process.wait(30)
        assert taken.result(30)
    since = r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    held = rf"another run is at it \(host {re.escape(socket.gethostname())}, process {process.pid}, {since}\), waiting"
    (line,) = lines
    assert re.fullmatch(held, line)


def test_who_holds_it_is_not_said_where_its_file_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "POLL_S", 0.01)
    lines: list[str] = []
    held = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)

    def log(line: str) -> None:
        lines.append(line)
        os.close(held)

    with exclusive_lock(tmp_path / "lock", log):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert lines == ["another run is at it, waiting"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_storage_without_locks_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lines: list[str] = []
    with exclusive_lock(tmp_path / "lock", lines.append):
        pass
    assert lines == [f"{tmp_path} has no locks ({os.strerror(number)}): let nothing else work there at the same time"]


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(IsADirectoryError), exclusive_lock(tmp_path / "lock", pytest.fail):
        pass
