"""Snapshots in an object store of a local folder that others are writing into.

NAME/WRITER/NUMBER/...  files; a snapshot adds those that its writer's earlier ones do not have
NAME/current.json       the files of the latest whole snapshot, and which object each is; written last

A snapshot is what a process that was killed at one moment might have left: of files that are written one after another,
it never has a later one without the earlier. So a step that can go on from its folder after a kill can go on from a
snapshot of it.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.store.archive.object_store import ObjectStore

CURRENT = "current.json"
CLOCK = ".snapshot"
"""A file whose time of change is the folder's own present: a network share has a clock of its own."""
ATTEMPTS, TICK_S = 3, 0.02
"""Files are dated to some milliseconds."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file is the same: last written (ns since the epoch), its bytes, and its inode."""

    written_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the last snapshot: what it was then, and its object."""

    state: FileState
    object: str


class FolderSnapshots:
    """Of one folder, for one thread. Methods raise UserError for what the store refuses.

    Two processes with snapshots of the same name do not mix: those of the one that wrote last are read.
    """

    def __init__(self, store: ObjectStore, name: str, folder: Path, wanted: Callable[[str], bool]) -> None:
        """wanted: whether a file, named relative to the folder, is part of it."""
        self._store, self._name, self._folder, self._wanted = store, name, folder, wanted
        self._writer, self._number = uuid.uuid4().hex[:12], 0
        self._kept: dict[str, StoredFile] = {}

    def save(self) -> bool:
        """Makes a snapshot, unless nothing has changed since the last.

        Returns:
            Whether the store has the folder as it was a moment ago. False: something in it changed while it was read;
            the last snapshot stays.
        """
        found = self._now()
        if found is None:
            return False
        same = {file: kept for file, kept in self._kept.items() if found.get(file) == kept.state}
        new = [file for file in found if file not in same]
        if not new and len(same) == len(self._kept):
            return True
        self._number += 1
        here = f"{self._name}/{self._writer}/{self._number}"
        try:
            self._store.upload(self._folder, here, new)
        except UserError:
            if self._changed(new, found):
                return False
            raise
        if self._changed(new, found):
            return False
        before, self._kept = self._kept, same | {file: StoredFile(found[file], f"{here}/{file}") for file in new}
        content = {file: [kept.object, kept.state.size] for file, kept in self._kept.items()}
        self._store.write(f"{self._name}/{CURRENT}", json.dumps(content).encode())
        self._store.delete(kept.object for file, kept in before.items() if file not in same)
        return True

    def restore(self) -> bool:
        """Makes the folder, which is not there, what the latest snapshot holds.

        Returns:
            Whether there is one.

        Raises:
            UserError: Objects are missing or cut short, too; the folder is not made then.
        """
        content = self._store.read(f"{self._name}/{CURRENT}")
        if content is None:
            return False
        part = self._folder.with_name(f"{self._folder.name}.{self._writer}.fetching")
        try:
            files = json.loads(content)
            self._store.fetch({file: name for file, (name, _) in files.items()}, part)
            short = [name for file, (name, size) in files.items() if (part / file).stat().st_size != size]
        except (ValueError, TypeError, AttributeError):
            raise UserError(f"archive {self._store.url}: {self._name}/{CURRENT} is broken") from None
        else:
            if short:
                raise UserError(f"archive {self._store.url}: {short[0]} is cut short")
            part.rename(self._folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return True

    def remove(self) -> None:
        """Deletes what the store has under the name."""
        self._store.delete_folder(self._name)

    def _now(self) -> dict[str, FileState] | None:
        """`_at_one_moment`, tried again soon where a file has only just been written."""
        for _ in range(ATTEMPTS):
            if (found := self._at_one_moment()) is not None:
                return found
            time.sleep(TICK_S)
        return None

    def _at_one_moment(self) -> dict[str, FileState] | None:
        """The wanted files as of one moment. None: one that was there before it has changed since."""
        before = self._files()
        clock = self._folder / CLOCK
        clock.write_bytes(b"")
        moment_ns = clock.stat().st_mtime_ns
        clock.unlink()
        # Whatever was written before the moment is there by now.
        found = self._files()
        later = {file for file, state in found.items() if state.written_ns >= moment_ns}
        if before.keys() & later or before.keys() - found.keys():
            return None
        return {file: state for file, state in found.items() if file not in later}

    def _files(self) -> dict[str, FileState]:
        found = {}
        for folder, _, names in os.walk(self._folder):  # leaves out what is removed meanwhile
            for path in (Path(folder, name) for name in names):
                file = path.relative_to(self._folder).as_posix()
                if file != CLOCK and self._wanted(file) and (state := _state(path)) is not None:
                    found[file] = state
        return found

    def _changed(self, files: list[str], found: dict[str, FileState]) -> bool:
        return any(_state(self._folder / file) != found[file] for file in files)


def _state(path: Path) -> FileState | None:
    """Of a file; None for anything else, and for what is not there."""
    try:
        if not path.is_file():
            return None
        about = path.stat()
    except FileNotFoundError:
        return None
    return FileState(about.st_mtime_ns, about.st_size, about.st_ino)
