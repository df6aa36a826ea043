"""Deletions on a shared folder: a file's time of change, which every node sees."""

from pathlib import Path

FORGOTTEN = "forgotten"


class DeletionFile:
    """See `hydra_ray.serve.state.deletions.Deletions`."""

    def __init__(self, state: Path) -> None:
        self._file = state / FORGOTTEN
        self._seen = self._touched()

    def announce(self) -> None:
        self._file.touch()

    def new(self) -> bool:
        before, self._seen = self._seen, self._touched()
        return before != self._seen

    def _touched(self) -> int | None:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return None
