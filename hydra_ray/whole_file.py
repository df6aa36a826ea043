"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_text(file: Path, text: str) -> None:
    """Writes `text` under another name first; a writer killed at any time leaves the old file or the new one."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(text)
    part.rename(file)
