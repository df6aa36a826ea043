"""Workers' progress lines on the driver: a file that one process appends to and another reads as it grows."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

EVERY_S = 1.0


def append_line(file: Path, line: str) -> None:
    """Adds one line; the file's folder must be there."""
    with file.open("a") as stream:
        stream.write(line + "\n")


class Follow(contextlib.AbstractContextManager["Follow"]):
    """Calls `say` with every whole line that is appended to `file` while the block runs.

    On a cluster the file lies on the storage that all nodes share, so no log needs to travel.
    """

    def __init__(self, file: Path, say: Callable[[str], None], every_s: float = EVERY_S) -> None:
        self._file, self._say, self._every_s = file, say, every_s
        self._at = file.stat().st_size if file.exists() else 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Follow":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._read()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._read()

    def _read(self) -> None:
        if not self._file.exists():
            return
        with self._file.open() as stream:
            stream.seek(self._at)
            text = stream.read()
        whole = text[: text.rfind("\n") + 1]
        self._at += len(whole.encode())
        for line in whole.splitlines():
            self._say(line)
