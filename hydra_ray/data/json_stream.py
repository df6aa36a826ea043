"""The elements of a JSON list, one at a time, however large the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from hydra_ray.errors import UserError

_CHUNK = 256 * 1024


def _opening(file: BinaryIO) -> bytes:
    """The first character that is neither whitespace nor a byte order mark; leaves the file at it."""
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    while (char := file.read(1)).isspace():
        pass
    if char:
        file.seek(-1, 1)
    return char


def broken(path: Path, done: int, error: Exception) -> UserError:
    """The one line for a file that stops being JSON after `done` records."""
    why = "is cut off" if "premature EOF" in str(error) or "Incomplete" in str(error) else "is not JSON"
    return UserError(f"{path}: {why} at record {done} (counted from 0): write or download the file again")


def stream_list(path: Path, what: str) -> Iterator[Any]:
    """The elements of the list that is the whole of `path`.

    what: the layout's name for the error. Raises UserError: no list, not JSON, cut off (with the record's index).
    """
    with path.open("rb") as file:
        opening = _opening(file)
        if opening not in (b"[", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON list of records")
        yield from _elements(path, file, "item")


def stream_under(path: Path, key: str, what: str) -> Iterator[Any]:
    """The elements of the list under `key` of the object that is the whole of `path`. Raises as `stream_list`."""
    with path.open("rb") as file:
        if _opening(file) not in (b"{", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON object")
        yield from _elements(path, file, f"{key}.item")


def value_under(path: Path, key: str, what: str) -> Any:
    """The value under `key` of the object that is the whole of `path`, None if absent. Raises as `stream_list`."""
    with path.open("rb") as file:
        if _opening(file) not in (b"{", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON object")
        return next(_elements(path, file, key), None)


def _elements(path: Path, file: BinaryIO, prefix: str) -> Iterator[Any]:
    done = 0
    elements = ijson.items(file, prefix, use_float=True, buf_size=_CHUNK)
    while True:
        try:
            element = next(elements)
        except StopIteration:
            return
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise broken(path, done, error) from None
        yield element
        done += 1
