"""Which weights a folder holds, wherever it lies."""

import hashlib
from pathlib import Path

HASHED_WHOLE = 256 * 2**20
BLOCK = 2**20
SAMPLE = 4096
"""Bytes read of each block of a file that is not hashed whole, and of its end: no changed tensor is smaller."""


def model_digest(folder: Path) -> str:
    """blake2b over the names and contents of a model folder's files, 16 hex digits. Hidden files and subfolders do not
    count.

    Files over 256 MiB count with their size and 4 KiB of every MiB and of their end: a matrix that was trained differs
    there, too. Raises OSError if a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as handle:
            if size <= HASHED_WHOLE:
                while block := handle.read(BLOCK):
                    digest.update(block)
            else:
                for start in (*range(0, size - SAMPLE, BLOCK), size - SAMPLE):
                    handle.seek(start)
                    digest.update(handle.read(SAMPLE))
    return digest.hexdigest()
