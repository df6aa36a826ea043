"""Files that are there whole or not at all: a writer killed at any time leaves the old file or the new one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def write_atomically(file: Path) -> Iterator[Path]:
    """Another name to write under, which becomes `file` when the block ends without an error, and is removed else."""
    part = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        yield part
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(file: Path, text: str) -> None:
    """Writes `text`, whole or not at all."""
    with write_atomically(file) as part:
        part.write_text(text)
