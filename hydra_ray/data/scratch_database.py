"""A table on disk that lasts as long as it is used: what is looked up by name and may not fit in memory."""

import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_CACHE_KIB = 8 * 1024
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE")


class ScratchDatabase:
    """A SQLite file of this process alone. A context manager: leaving it removes the file."""

    def __init__(self, table: str, prefix: str, folder: Path | None = None) -> None:
        """Makes the file, with one empty table.

        Args:
            table: What follows CREATE TABLE.
            prefix: Of the temporary folder's name.
            folder: Where that lies; None: where the system keeps temporary files.

        Raises:
            OSError: The folder cannot be made.
        """
        self._folder = tempfile.TemporaryDirectory(prefix=prefix, dir=folder)
        self._db = sqlite3.connect(str(Path(self._folder.name) / "scratch.sqlite"), isolation_level=None)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()
