"""Workers' progress lines on the driver: a file that one process appends to and another reads as it grows."""

from collections.abc import Callable
from pathlib import Path

from hydra_ray.utils.periodic import PeriodicTask

EVERY_S = 1.0
PROGRESS = "progress"
"""File in a training's scratch folder that takes rank 0's lines."""


def append_line(file: Path, line: str) -> None:
    """Adds one line; the file's folder must be there."""
    with file.open("a") as stream:
        stream.write(line + "\n")


class FileTail(PeriodicTask):
    """Calls `log` with every whole line that is appended to `file` while the block runs.

    On a cluster the file lies on the storage that all nodes share, so no log needs to travel.
    """

    def __init__(self, file: Path, log: Callable[[str], None], every_s: float = EVERY_S) -> None:
        super().__init__(self._read, every_s)
        self._file, self._log = file, log
        self._at = file.stat().st_size if file.exists() else 0

    def _read(self) -> None:
        if not self._file.exists():
            return
        with self._file.open() as stream:
            stream.seek(self._at)
            text = stream.read()
        whole = text[: text.rfind("\n") + 1]
        self._at += len(whole.encode())
        for line in whole.splitlines():
            self._log(line)
