"""The files of all buckets: opened as needed, a bounded number at once; what is wrong with one is reported in words.

Threads and processes share the files; SQLite's locks keep them apart.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from cachetools import LRUCache

from hydra_ray.errors import UserError
from hydra_ray.serve.state.sqlite.bucket_file import BucketFile, inode
from hydra_ray.serve.state.sqlite.user_rows import BrokenRowError
from hydra_ray.serve.state.users import HistoryUnreadableError, NotStoredError
from hydra_ray.utils.atomic_io import write_atomically

# UnicodeDecodeError: sqlite3's own message quotes the damaged bytes of a table's definition.
_ERRORS = (sqlite3.Error, BrokenRowError, OSError, UnicodeDecodeError)
_CANNOT_WRITE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM")
_CANNOT_READ = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ")


class _IdleFiles(LRUCache[int, BucketFile]):
    """Files that no thread uses. evicted: for want of room, still open."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.evicted: list[BucketFile] = []

    def popitem(self) -> tuple[int, BucketFile]:
        """See LRUCache, which calls it to make room."""
        bucket, file = super().popitem()
        self.evicted.append(file)
        return bucket, file


class BucketFiles:
    """A folder of `bucket-NNNNNN.sqlite`."""

    def __init__(self, folder: Path, buckets: int, most_open: int, busy_s: float) -> None:
        """most_open: files kept open (each thread at work may have one more). busy_s: longest wait for a lock."""
        self._folder, self._buckets, self._busy_s = folder, buckets, busy_s
        self._idle = _IdleFiles(most_open)
        self._whole: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def path(self, bucket: int) -> Path:
        """A bucket's file."""
        return self._folder / f"bucket-{bucket:06d}.sqlite"

    def make(self) -> None:
        """Makes the files that are not there. For one process at a time. Raises UserError."""
        try:
            for bucket in range(self._buckets):
                if not self.path(bucket).exists():
                    with write_atomically(self.path(bucket)) as part:
                        part.unlink(missing_ok=True)
                        BucketFile.make(part, bucket, self._buckets)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self._folder}: cannot make the store of users: {error}; make room, or give another "
                            "folder") from None  # fmt: skip

    @contextlib.contextmanager
    def reading(self, bucket: int) -> Iterator[BucketFile]:
        """A bucket's file in a transaction. Raises HistoryUnreadableError for whatever goes wrong."""
        try:
            with self._used(bucket) as file, file.transaction(writing=False):
                yield file
        except _ERRORS as error:
            raise self._unreadable(bucket, error) from None

    @contextlib.contextmanager
    def writing(self, bucket: int) -> Iterator[BucketFile]:
        """Likewise for a change: all of it is on the disk when the block has ended, or nothing.

        Raises NotStoredError where the file can be read but not written, UserError where another process holds it.
        """
        try:
            with self._used(bucket) as file, file.transaction(writing=True):
                yield file
        except _ERRORS as error:
            raise self._unwritable(bucket, error, "nothing was written") from None

    def scrub(self, bucket: int) -> None:
        """Writes the file anew, so that nothing deleted is left in it. Raises as `writing`."""
        try:
            with self._used(bucket) as file:
                file.scrub()
        except _ERRORS as error:
            what = "the user is deleted, but pieces may be left in the file"
            raise self._unwritable(bucket, error, what) from None

    def check(self, bucket: int, file: BucketFile) -> None:
        """Checks the table of the bucket's users, once a file: a user not found afterwards is unknown, not lost."""
        if self._whole.get(bucket) != file.inode:
            file.check_users()
            self._whole[bucket] = file.inode

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            for file in self._idle.values():
                file.close()
            self._idle.clear()

    @contextlib.contextmanager
    def _used(self, bucket: int) -> Iterator[BucketFile]:
        file = self._take(bucket)
        try:
            yield file
        except BaseException:
            file.close()
            raise
        self._give_back(bucket, file)

    def _take(self, bucket: int) -> BucketFile:
        """A file that no other thread uses, and that is still the one of that name."""
        with self._lock:
            file = self._idle.pop(bucket, None)
        there = inode(self.path(bucket))
        if file and file.inode == there:
            return file
        if file:
            file.close()
        file = BucketFile(self.path(bucket), self._busy_s)
        try:
            about = file.about()
            if (about.bucket, about.buckets) != (bucket, self._buckets):
                raise BrokenRowError(f"is bucket {about.bucket} of {about.buckets}")
        except BaseException:
            file.close()
            raise
        return file

    def _give_back(self, bucket: int, file: BucketFile) -> None:
        with self._lock:
            same = self._idle.pop(bucket, None)
            self._idle[bucket] = file
            surplus, self._idle.evicted = [*self._idle.evicted, *([same] if same else [])], []
        for old in surplus:
            old.close()

    def _unwritable(self, bucket: int, error: Exception, what: str) -> UserError:
        """The error as what it means; what: what that leaves."""
        name, path = getattr(error, "sqlite_errorname", ""), self.path(bucket)
        if name.startswith("SQLITE_BUSY"):
            return UserError(f"{path}: another process has held it for {self._busy_s:g} s; {what}: try again")
        if name.startswith(_CANNOT_WRITE) and name not in _CANNOT_READ and path.exists():
            return NotStoredError(f"{path}: cannot write: {error}; {what}: make room, or make the folder writable, and "
                                  "try again")  # fmt: skip
        return self._unreadable(bucket, error)

    def _unreadable(self, bucket: int, error: Exception) -> HistoryUnreadableError:
        what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        if isinstance(error, UnicodeDecodeError):
            what = "malformed database schema"
        line = " ".join(what.split())  # SQLite quotes whole definitions
        return HistoryUnreadableError(f"{self.path(bucket)}: cannot be read: {line}; put the file back from a backup")
