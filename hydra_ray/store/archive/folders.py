"""Folders in an object store that appear there, and come back, whole or not at all.

NAME/UPLOAD/...     the files; each upload has a folder of its own
NAME/current.json   which upload counts, how many files and bytes it has; written last

Two writers of one name never mix: the one that writes `current.json` last is read.
"""

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.store.archive.object_store import ObjectStore

CURRENT = "current.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """What `current.json` says."""

    upload: str
    files: int
    bytes: int


class ArchivedFolders:
    """All methods raise UserError for what the store refuses."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def holds(self, name: str) -> bool:
        """Whether a folder is there, whole."""
        return self._current(name) is not None

    def publish(self, name: str, folder: Path, without: Sequence[str] = ()) -> None:
        """Uploads a local folder. What was there under the name is replaced.

        without: names in the folder that are left out, with what is under them.
        """
        before = self._current(name)
        sizes = {file: size for file, size in sizes_in(folder).items() if file.split("/")[0] not in without}
        upload = Upload(uuid.uuid4().hex[:12], len(sizes), sum(sizes.values()))
        self.store.upload(folder, f"{name}/{upload.upload}", list(sizes))
        self.store.write(f"{name}/{CURRENT}", json.dumps(asdict(upload)).encode())
        if before is not None:
            self.store.delete_folder(f"{name}/{before.upload}")

    def fetch(self, name: str, folder: Path) -> bool:
        """Downloads a folder, which appears under its local name when it is whole. Returns whether it is there at all.

        Raises UserError too, where files are missing or cut.
        """
        current = self._current(name)
        if current is None:
            return False
        part = folder.with_name(f"{folder.name}.{os.getpid()}.fetching")
        shutil.rmtree(part, ignore_errors=True)
        try:
            self.store.download(f"{name}/{current.upload}", part)
            sizes = sizes_in(part).values()
            if (len(sizes), sum(sizes)) != (current.files, current.bytes):
                raise UserError(
                    f"archive {self.store.url}: {name} has {len(sizes)} files of {sum(sizes)} bytes and should have "
                    f"{current.files} of {current.bytes}; delete it there and run again"
                )
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return True

    def _current(self, name: str) -> Upload | None:
        content = self.store.read(f"{name}/{CURRENT}")
        if content is None:
            return None
        try:
            return Upload(**json.loads(content))
        except (ValueError, TypeError):
            raise UserError(
                f"archive {self.store.url}: {name}/{CURRENT} is broken; delete it there and run again"
            ) from None


def sizes_in(folder: Path) -> dict[str, int]:
    """Name relative to a local folder -> bytes, of all files in it."""
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
