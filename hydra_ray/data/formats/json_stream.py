"""The elements of a JSON list, one at a time, however large the file."""

from collections.abc import Iterator
from decimal import Decimal
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


AGAIN = "write or download the file again"
"""What to do with a file that another program wrote."""


def broken(path: object, done: int, error: Exception, mend: str = AGAIN) -> UserError:
    """The one line for a file that stops being JSON after `done` records."""
    why = "is cut off" if "premature EOF" in str(error) or "Incomplete" in str(error) else "is not JSON"
    return UserError(f"{path}: {why} at record {done} (counted from 0): {mend}")


def is_object(path: Path) -> bool:
    """Whether a JSON file is an object rather than a list."""
    with path.open("rb") as file:
        return _opening(file) == b"{"


def stream_list(path: Path, what: str) -> Iterator[Any]:
    """The elements of the list that is the whole of `path`.

    what: the layout's name for the error. Raises UserError: no list, not JSON, cut off (with the record's index).
    """
    with path.open("rb") as file:
        opening = _opening(file)
        if opening not in (b"[", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON list of records")
        yield from elements(path, file, "item")


def stream_under(path: Path, key: str, what: str) -> Iterator[Any]:
    """The elements of the list under `key` of the object that is the whole of `path`. Raises as `stream_list`."""
    with path.open("rb") as file:
        if _opening(file) not in (b"{", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON object")
        yield from elements(path, file, f"{key}.item")


def value_under(path: Path, key: str, what: str) -> Any:
    """The value under `key` of the object that is the whole of `path`, None if absent. Raises as `stream_list`."""
    with path.open("rb") as file:
        if _opening(file) not in (b"{", b""):
            raise UserError(f"{path}: not {what}: the file must be a JSON object")
        return next(elements(path, file, key), None)


def elements(path: object, file: Any, prefix: str, mend: str = AGAIN) -> Iterator[Any]:
    """The values at ijson's `prefix` of a stream, one at a time. Raises UserError as `broken` words it.

    path: the file's name, mend: what to do, for the error.
    """
    done = 0
    # With use_float ijson refuses integers of 64 bits and more.
    found = ijson.items(file, prefix, buf_size=_CHUNK)
    while True:
        try:
            element = next(found)
        except StopIteration:
            return
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise broken(path, done, error, mend) from None
        yield _with_floats(element)
        done += 1


def _with_floats(element: Any) -> Any:
    """Numbers as `json` reads them: whole ones stay whole, the others, which are Decimals, become floats."""
    whole = [element]
    left: list[Any] = [whole]
    while left:
        part = left.pop()
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(value, Decimal):
                part[key] = float(value)
            elif isinstance(value, dict | list):
                left.append(value)
    return whole[0]
