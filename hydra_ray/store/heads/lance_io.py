"""Lance's errors as ours: one line without Rust paths; a full disk as the user's error. And a dataset's raw files."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from lance.commit import CommitConflictError
from lance.file import LanceFileSession

from hydra_ray.errors import UserError

# What Lance's Python face raises; a panic of its Rust part is a BaseException that cannot be imported.
_RAISED = (OSError, ValueError, RuntimeError, NotImplementedError, pa.ArrowException)
_FULL = ("No space left on device", "File too large", "Disk quota exceeded", "StorageFull")
_READ_BYTES = 16 << 20


class LanceError(Exception):
    """Lance could not read or write; the message is Lance's own in one line."""


class ConflictError(Exception):
    """Another writer committed first what this commit would have changed."""


@contextmanager
def lance_errors(where: str) -> Iterator[None]:
    """Raises LanceError or ConflictError for what Lance raises inside, UserError if the disk is full."""
    try:
        yield
    except (UserError, LanceError, ConflictError):
        raise
    except CommitConflictError as error:
        raise ConflictError(_plain(error)) from error
    except BaseException as error:
        if not isinstance(error, _RAISED) and type(error).__name__ != "PanicException":
            raise
        message = _plain(error)
        if any(sign in message for sign in _FULL):
            raise UserError(f"{where}: the disk is full ({message}); the last published version is intact: "
                            "make room and do the same again") from error  # fmt: skip
        raise LanceError(message) from error


def _plain(error: BaseException) -> str:
    """The message without the places in Lance's Rust sources, at most 300 characters."""
    text = re.sub(r",? ?/[^\s,]*\.rs:\d+(:\d+)?", "", " ".join(str(error).split()))
    return re.sub(r"(External error: |LanceError\(\w+\): |Generic [\w/]+ error: )+", "", text)[:300]


class Files:
    """The raw files below a dataset, through Lance's own object-store client: whatever Lance reaches, this reaches."""

    def __init__(self, uri: str, options: Mapping[str, str] | None) -> None:
        with lance_errors(uri):
            self._session = LanceFileSession(uri, dict(options) if options else None)
        self.uri = uri

    def names(self, folder: str) -> list[str]:
        """Paths below `folder`, relative to the dataset."""
        with lance_errors(self.uri):
            return sorted(str(path) for path in self._session.list(folder))

    def chunks(self, path: str, size: int, *, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` to `size`. Raises LanceError if it is missing or shorter."""
        for at in range(start, size, _READ_BYTES):
            with lance_errors(self.uri):
                yield bytes(self._session.read_range(path, at, min(_READ_BYTES, size - at)))

    def content(self, path: str) -> bytes:
        """A whole small file. Raises LanceError if it is missing."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "file"
            with lance_errors(self.uri):
                self._session.download_file(path, str(local))
            return local.read_bytes()

    def upload(self, content: bytes, path: str) -> None:
        """Writes a file; it appears whole or not at all."""
        with tempfile.TemporaryDirectory() as folder, lance_errors(self.uri):
            local = Path(folder) / "file"
            local.write_bytes(content)
            self._session.upload_file(str(local), path)

    def remove(self, path: str) -> None:
        """Removes a file."""
        with lance_errors(self.uri):
            self._session.delete_file(path)

    def column(self, path: str, name: str) -> pa.Table:
        """One column of a Lance file that need not be published. Raises LanceError if it is missing or broken."""
        with lance_errors(self.uri):
            return self._session.open_reader(path, columns=[name]).read_all().to_table()
