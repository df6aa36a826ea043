"""JSON files that are written one entry at a time, and are there whole or not at all."""

from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from hydra_ray.utils.atomic_io import write_atomically


class JsonFile:
    """A JSON object or list that is written one entry at a time."""

    def __init__(self, stream: TextIO, brackets: str) -> None:
        """brackets: `{}` or `[]`."""
        self._stream, self._brackets, self._begun = stream, brackets, False

    def add(self, entry: str) -> None:
        """One more entry, as JSON."""
        self._stream.write(f",\n{entry}" if self._begun else f"{self._brackets[0]}\n{entry}")
        self._begun = True

    def end(self) -> None:
        """The closing bracket."""
        self._stream.write(f"\n{self._brackets[1]}\n" if self._begun else f"{self._brackets}\n")


def json_file(files: ExitStack, path: Path, brackets: str) -> JsonFile:
    """A file that is there once `files` is left, and not at all where that happens with an error."""
    part = files.enter_context(write_atomically(path))
    stream = files.enter_context(part.open("w", encoding="utf-8"))
    file = JsonFile(stream, brackets)

    def finish(kind: object, error: object, trace: object) -> None:
        if kind is None:
            file.end()

    files.push(finish)
    return file
