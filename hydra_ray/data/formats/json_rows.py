"""Rows of JSON: one object a line, or one list of objects."""

import json
from collections.abc import Iterator
from typing import Any

from hydra_ray.data.formats.files import Broken, byte_lines
from hydra_ray.data.formats.json_stream import elements

JSONL = "JSON Lines has one object a line"


def jsonl_rows(lines: Iterator[bytes], first: int = 1) -> Iterator[tuple[int, Any]]:
    """Line number and value of every line that is not blank; a Broken for one that is not JSON."""
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            yield number, loads(line)
        except UnicodeDecodeError:
            yield number, Broken("is not UTF-8", line[:200].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            why = "is not JSON" if line.endswith(b"\n") else "is cut off or not JSON"
            yield number, Broken(why, line[:200].decode("utf-8", "replace"))


def json_rows(stream: Any, where: str) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON list, counted from 0, or the lines of a file that begins otherwise, from 1.

    Raises UserError for a list that stops being JSON: what follows cannot be found again.
    """
    lines = byte_lines(stream)
    for number, line in enumerate(lines, start=1):
        start = line.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            continue
        if start[:1] == b"[":
            mend = "repair it, or write it again"
            yield from enumerate(elements(where, _Joined(start, lines), "item", mend))
        else:
            yield from jsonl_rows(_with(line, lines), first=number)
        return


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class _Joined:
    """Lines as a stream for ijson."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._held, self._rest = first, rest

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        chunk, self._held = self._held, b""
        return chunk or next(self._rest, b"")


def loads(line: bytes) -> Any:
    """As `json.loads` of UTF-8, with `?` for halves of surrogate pairs, which are no text. Raises ValueError."""
    text = line.decode("utf-8-sig")
    if b"\\ud" not in line.lower():
        return json.loads(text)
    whole = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(whole.encode("utf-8", "replace"))
