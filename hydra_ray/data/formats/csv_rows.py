"""Rows of CSV and TSV: a header, then a row a record; quoted as spreadsheets do it."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from hydra_ray.data.formats.files import Broken, encoding_of
from hydra_ray.errors import UserError

_DELIMITERS = ",;\t|"
_FIELD_CHARS = 1 << 30


def csv_rows(stream: Any, where: str, delimiter: str | None = None) -> Iterator[tuple[int, Any]]:
    """Line number and fields by name of every row, None for empty ones; a Broken for one that does not fit the header.

    delimiter: None takes the one of comma, semicolon, tab and bar that splits the header most.
    Raises UserError: a column that the header names twice.
    """
    csv.field_size_limit(_FIELD_CHARS)
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)
    encoding = encoding_of(buffered.peek(2))
    # What is not UTF-8 becomes halves of surrogate pairs, which mark the row.
    text = io.TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape", newline="")
    first, above = next(((line, above) for above, line in enumerate(text) if line.strip()), ("", 0))
    if not first:
        return
    delimiter = delimiter or max(_DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{where}: the header has the column {twice[0]!r} more than once: rename one of them")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = above + reader.line_num + 2
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _broken(f"cannot be read ({error})", "", line, above + reader.line_num + 1)
            continue
        if not fields:
            continue
        last = above + reader.line_num + 1
        if not _is_text(fields):
            shown = " ".join(fields).encode("utf-8", "replace").decode()
            yield line, _broken("is not UTF-8", shown, line, last)
        elif len(fields) != len(header):
            why = f"has {len(fields)} field{'s' * (len(fields) != 1)}, the header {len(header)}"
            yield line, _broken(why, delimiter.join(fields), line, last)
        else:
            yield line, {name: value or None for name, value in zip(header, fields, strict=True)}


def _broken(why: str, shown: str, first: int, last: int) -> Broken:
    """A row that takes up the lines `first` to `last`: many if a quote is not closed."""
    return Broken(f"{why}, and its quotes reach to line {last}" if last > first else why, shown, last - first + 1)


def _is_text(fields: list[str]) -> bool:
    try:
        return all(field.isascii() or field.encode() is not None for field in fields)
    except UnicodeEncodeError:
        return False
