"""Which weights a folder holds, wherever it lies."""

import hashlib
from pathlib import Path

HASHED_WHOLE = 256 * 2**20
EDGE = 2**20


def model_digest(folder: Path) -> str:
    """blake2b over the names and contents of a model folder's files, 16 hex digits. Hidden files and subfolders do not
    count.

    Files over 256 MiB count with their size and their first and last MiB only: a retrained model differs there too.
    Raises OSError if a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as handle:
            if size <= HASHED_WHOLE:
                while block := handle.read(EDGE):
                    digest.update(block)
            else:
                digest.update(handle.read(EDGE))
                handle.seek(-EDGE, 2)
                digest.update(handle.read(EDGE))
    return digest.hexdigest()
