"""The forms of a user's own rows: every one gives the same users."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from hydra_ray.errors import UserError
from tests.data.files import write
from tests.data.own_rows import ROWS, broken, check, ingest, lines, table_of


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table_of(ROWS)),
        ("a.CSV", "\ufeff" + table_of(ROWS)),
        ("a.csv", table_of(ROWS, ";")),
        ("a.tsv", table_of(ROWS, "\t")),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.json", "\n " + json.dumps(ROWS)),
        ("a.json", lines(ROWS)),
        ("a.jsonl", "\ufeff" + lines(ROWS)),
    ],
)
def test_text_forms(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path / name, content)
    check(ingest(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize(("name", "content"), [("a.csv", table_of(ROWS)), ("a.jsonl", lines(ROWS))])
def test_byte_order_marks(tmp_path: Path, encoding: str, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode(encoding))
    check(ingest(tmp_path))


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


PACKED = [
    ("a.jsonl.gz", gzip.compress(lines(ROWS).encode())),
    ("a.jsonl.gz", gzip.compress(lines(ROWS[:3]).encode()) + gzip.compress(lines(ROWS[3:]).encode())),
    ("a.jsonl.zst", zstd(lines(ROWS).encode())),
    ("a.csv.gz", gzip.compress(table_of(ROWS).encode())),
    ("a.tsv.zst", zstd(table_of(ROWS, "\t").encode())),
    ("a.json.zst", zstd(json.dumps(ROWS).encode())),
    ("a.json.gz", gzip.compress(json.dumps(ROWS).encode())),
]


@pytest.mark.parametrize(("name", "content"), PACKED)
def test_packed_forms(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    check(ingest(tmp_path))


@pytest.mark.parametrize(("name", "content"), PACKED)
def test_packed_files_that_are_cut_off(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content[:-9])
    with pytest.raises(UserError, match=rf"{name}: .*cut off.*download the file again|{name}: is cut off at record"):
        ingest(tmp_path)


def test_a_file_that_is_not_packed_as_its_name_says(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.jsonl.zst"):
        write(tmp_path / name, lines(ROWS))
        with pytest.raises(UserError, match=rf"{name}: cut off or damaged after row 0: "):
            ingest(tmp_path, {"files": name})


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    half = lines(ROWS[:1]).encode().replace(b"text 3", b"\xed\xa0\xbd")
    assert broken(tmp_path, "a.jsonl", half).startswith("line 1 is not UTF-8: ")
    odd = table_of(ROWS).encode("utf-16") + b"x"
    assert "the file again" in broken(tmp_path, "a.csv", odd, {"files": "*.csv"})
