"""The forms that a user's own rows come in, by the file's name, and how their bytes are reached."""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

FORMS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
PACKINGS = ("", ".gz", ".zst")

READ_ERRORS = (EOFError, zlib.error, OSError, pa.ArrowException)
"""What reading a file that is cut off or damaged raises."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line of a file that cannot be read. why: as in "line 3 `why`". shown: its beginning. lines: how many."""

    why: str
    shown: str = ""
    lines: int = 1


def form_of(name: str) -> tuple[str, str] | None:
    """Form and packing of a file by its name, None if it is of no known form."""
    lower = name.lower()
    packing = next((p for p in PACKINGS if p and lower.endswith(p)), "")
    form = next((f for f in FORMS if lower.removesuffix(packing).endswith(f)), None)
    return None if form is None or (form == ".parquet" and packing) else (form, packing)


def unpacked(stream: Any, packing: str) -> Any:
    """A packed binary stream as what was packed."""
    if packing == ".gz":
        return gzip.GzipFile(fileobj=stream)
    if packing == ".zst":
        return io.BufferedReader(_Zstd(stream))
    return stream


class _Zstd(io.RawIOBase):
    """Zstandard frames, decompressed as they are read. Raises EOFError where the last one is cut off."""

    def __init__(self, stream: Any) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def encoding_of(start: bytes) -> str:
    """The encoding of a text file by its first bytes: UTF-8 unless a byte order mark says another."""
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def byte_lines(stream: Any) -> Iterator[bytes]:
    """The lines of a text file in UTF-8, with their ends."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)
    if encoding_of(buffered.peek(2)) == "utf-16":
        text = io.TextIOWrapper(buffered, encoding="utf-16", errors="replace", newline="\n")
        yield from (line.encode("utf-8", "replace") for line in text)
        return
    yield from buffered
