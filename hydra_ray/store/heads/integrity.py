"""A seal: sizes and CRC-32 of a version's manifest, deletion and index files, written after its commit.

Rows carry checksums of their own; these files carry none, and Lance believes them: a byte flipped in the index makes it
say that a user has no head, one in a deletion file can abort the process. So they are checked before Lance reads them.
A version whose writer was killed before the seal is read without (its rows are still checked); the next write seals.
"""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from zlib import crc32

from hydra_ray.store.heads.lance_io import Files, LanceError, lance_errors

FOLDER = "_seals"
_KINDS = ("manifest", "deletion file", "index file")

Sums = dict[str, tuple[int, int]]
"""Path relative to the store -> size in bytes, CRC-32."""


@dataclass(frozen=True)
class BrokenFile:
    """A file that is not as it was sealed. path: relative to the store."""

    path: str
    what: str


def write_checksum_seal(files: Files, dataset: Any, known: Sums) -> Sums:
    """Seals the version that `dataset` shows; known: files summed before, which are not read again. Returns the sums.

    Raises LanceError if a file is missing, UserError if the disk is full.
    """
    where = str(dataset.uri)
    with lance_errors(where):
        rows = dataset.tracked_files(min_version=dataset.version).read_all().to_pylist()
        sizes = {row["path"]: row["size_bytes"] for row in dataset.all_files().read_all().to_pylist()}
    sums: Sums = {}
    for path in sorted(row["path"] for row in rows if row["version"] == dataset.version and row["type"] in _KINDS):
        if path not in sizes:
            raise LanceError(f"{path} is missing")
        sums[path] = known[path] if path in known else (sizes[path], _crc(files, path, sizes[path]))
    body = json.dumps(sums)
    seal = json.dumps({"version": dataset.version, "crc": crc32(body.encode()), "files": body})
    files.upload(seal.encode(), _path(dataset.version))
    return sums


def check_seal(files: Files, version: int, known: Sums) -> tuple[Sums, list[BrokenFile]]:
    """The sealed files of a version and those that are broken; nothing if it has no seal.

    known: files that were found whole before and are not read again (a path is never written twice).
    """
    path = _path(version)
    try:
        if path not in files.names(FOLDER):
            return {}, []
        seal = json.loads(files.content(path))
        if crc32(seal["files"].encode()) != seal["crc"] or seal["version"] != version:
            raise ValueError("its checksum does not match")
        sums: Sums = {path: (size, crc) for path, (size, crc) in json.loads(seal["files"]).items()}
    except (LanceError, ValueError, KeyError, TypeError) as error:
        return {}, [BrokenFile(path, f"the seal itself is broken ({error})")]
    broken = []
    for file, (size, crc) in sums.items():
        if known.get(file) == (size, crc):
            continue
        try:
            if _crc(files, file, size) != crc:
                broken.append(BrokenFile(file, "its checksum does not match"))
        except LanceError as error:
            broken.append(BrokenFile(file, str(error)))
    return sums, broken


def newest_sealed(files: Files) -> int:
    """The greatest version that has a seal, 0 if none has."""
    stems = [PurePosixPath(path).stem for path in files.names(FOLDER)]
    return max([int(stem) for stem in stems if stem.isdigit()], default=0)


def drop_seals(files: Files, before: int) -> None:
    """Removes the seals of all versions before one."""
    for path in files.names(FOLDER):
        stem = PurePosixPath(path).stem
        if stem.isdigit() and int(stem) < before:
            files.remove(path)


def _path(version: int) -> str:
    return f"{FOLDER}/{version}.json"


def _crc(files: Files, path: str, size: int) -> int:
    total = 0
    for chunk in files.chunks(path, size):
        total = crc32(chunk, total)
    return total
