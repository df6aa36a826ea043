"""The forms of a user's own rows: every one gives the same users."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import DataConfig
from hydra_ray.data.formats.folders import hive_columns, matcher
from hydra_ray.data.sources.find import find_sources
from hydra_ray.errors import UserError
from tests.data.files import NOTES, Ingested, write
from tests.data.sources.test_tabular import ROWS, check, ingest, lines, row


def table_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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


def test_one_file(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", "no JSON")
    path = write(tmp_path / "a.jsonl", lines(ROWS))
    (source,) = find_sources(DataConfig(source="tabular", root=str(path)), path)
    assert (source.path, source.name) == (path, "a.jsonl")
    with pytest.raises(UserError, match=r"a.txt: unknown form: data.root must be, or hold, Parquet, JSON, "):
        find_sources(DataConfig(source="tabular", root="."), write(tmp_path / "a.txt", "x"))
    with pytest.raises(UserError, match=r"none: no such file or folder: data.root must be, or hold, Parquet"):
        find_sources(DataConfig(source="tabular", root="."), tmp_path / "none")


def test_folders_of_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "part-0.jsonl", lines(ROWS[:3]))
    write(tmp_path / "a" / "part-0.jsonl", lines(ROWS[3:]))
    for hidden in ("_SUCCESS", ".a.jsonl", "_tmp/a.jsonl", "a/.ipynb_checkpoints/a.jsonl", "dataset_infos.json"):
        write(tmp_path / hidden, "no JSON")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    check(ingest(tmp_path))
    names = [source.name for source in find_sources(DataConfig(source="tabular", root="."), tmp_path)]
    assert names == ["a/b/part-0.jsonl", "a/part-0.jsonl"]


def test_the_runs_folder_is_not_data(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(ROWS))
    write(tmp_path / "runs" / "steps" / "b.jsonl", "no JSON")
    sources = find_sources(DataConfig(source="tabular", root="."), tmp_path, skip=tmp_path / "runs")
    assert [source.name for source in sources] == ["a.jsonl"]
    assert (
        len(find_sources(DataConfig(source="tabular", root="."), tmp_path / "runs" / "steps", tmp_path / "runs")) == 1
    )


def test_the_layout_of_hugging_face(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS[:4]), tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[4:]), tmp_path / "data" / "train-00001-of-00002.parquet")
    write(tmp_path / "README.md", "about")
    write(tmp_path / "dataset_infos.json", {})
    check(ingest(tmp_path))


def without(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in r.items() if key != name} for r in rows]


def test_hive_folders_are_columns(tmp_path: Path) -> None:
    for user in ("u", "short"):
        rows = [r for r in ROWS if r["user_id"] == user]
        write(tmp_path / f"user_id={user}" / "part-0.jsonl", lines(without(rows, "user_id")))
    check(ingest(tmp_path))


@pytest.mark.parametrize(
    ("relative", "columns"),
    [
        ("a.parquet", ()),
        ("year=2021/month=03/a.parquet", (("year", "2021"), ("month", "03"))),
        ("who=a%2Fb/x/a.parquet", (("who", "a/b"),)),
        ("who=__HIVE_DEFAULT_PARTITION__/a=1.parquet", (("who", None),)),
    ],
)
def test_hive_columns(relative: str, columns: Any) -> None:
    assert hive_columns(relative) == columns


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "a/b.jsonl", True),
        ("*.jsonl", "a/b.jsonl", True),
        ("*.jsonl", "a/b.jsonl.gz", False),
        ("a/*.jsonl", "a/b.jsonl", True),
        ("a/*.jsonl", "a/c/b.jsonl", False),
        ("a/**/*.jsonl", "a/b.jsonl", True),
        ("a/**/*.jsonl", "a/c/d/b.jsonl", True),
        ("part-[01].csv", "part-1.csv", True),
        ("part-[!01].csv", "part-1.csv", False),
        ("part-?.csv", "part-1.csv", True),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    assert matcher(pattern)(path) is fits


def test_the_columns_of_all_rows_count_not_the_first_ones(tmp_path: Path) -> None:
    rows = [dict(r) for r in ROWS[:5]]
    del rows[0]["date"]
    write(tmp_path / "a.jsonl", lines(rows))
    done = ingest(tmp_path)
    user = done.users["u"]
    assert [(i.item_id, i.date) for i in user.items] == [
        ("u-3", ""), ("u-1", "2020-01-01"), ("u-2", "2020-01-02"), ("u-4", "2020-01-04"), ("u-5", "2020-01-05"),
    ]  # fmt: skip
    assert user.questions == ()
    assert [(r.record, r.reason) for r in done.rejects] == [("u/u-3", "undated_item")]


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "who,text\nu,a\n")
    with pytest.raises(UserError) as caught:
        ingest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/a.csv: no column 'user_id' (tabular.user_field), it has text, who: name the right one in the "
        "config; nor has it 'item_id' (tabular.id_field) or 'tag' (answer_field) or 'date' (tabular.date_field)"
    )


def test_a_column_may_be_in_other_files_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(without([row("u", 9)], "date")))
    write(tmp_path / "b.jsonl", lines(ROWS))
    assert [q.question_id for q in ingest(tmp_path).users["u"].questions] == ["u-4", "u-5"]


def test_nested_fields_and_several_text_fields(tmp_path: Path) -> None:
    rows = [
        {**r, "ticket": {"subject": "S", "body": r["text"], "tags": [r["tag"]]}, "messages": [{"text": "hello"}]}
        for r in without(ROWS, "text")
        for r in [{**r, "text": f"text {r['item_id'][-1]}"}]
    ]
    write(tmp_path / "a.jsonl", lines(without(rows, "text")))
    fields = ("ticket.subject", "ticket.body", "messages.0.text")
    task = NOTES.model_copy(update={"text_fields": fields, "corpus_fields": (), "answer_field": "ticket.tags.0"})
    user = ingest(tmp_path, task=task).users["u"]
    assert [(i.text, i.answer) for i in user.items][:1] == [("S text 1 hello", "red")]
    wrong = NOTES.model_copy(update={"text_fields": ("ticket.nothing",)})
    with pytest.raises(UserError, match=r"no column 'ticket.nothing' \(text_fields\[0\]\), it has .*ticket.body, "):
        ingest(tmp_path, task=wrong)


def broken(tmp_path: Path, name: str, content: str | bytes, own: dict[str, Any] | None = None) -> str:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, own)
    return str(caught.value).removeprefix(f"{tmp_path}/{name}: ")


MIXED = [*(json.dumps(r) + "\n" for r in ROWS[:4]), "{x}\n", '{"a": 1\n', json.dumps(ROWS[4]) + "\n", '{"user']


def test_all_broken_lines_of_a_file_are_named(tmp_path: Path) -> None:
    assert broken(tmp_path, "a.jsonl", "".join(MIXED)) == (
        "3 of 8 lines are broken: line 5 is not JSON, line 6 is not JSON, line 8 is cut off or not JSON: "
        "JSON Lines has one object a line; repair or remove the lines, or set data.tabular.bad_lines=0.375"
    )
    assert "line 19 is not JSON and 15 more: " not in broken(tmp_path, "a.jsonl", "{x}\n" * 25)
    assert "line 10 is not JSON and 15 more: " in broken(tmp_path, "a.jsonl", "{x}\n" * 25)


def test_a_tolerated_share_of_broken_lines(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "".join(MIXED))
    done = ingest(tmp_path, {"bad_lines": 0.375})
    assert [(r.record, r.reason, r.detail) for r in done.rejects] == [
        ("5", "broken_line", "is not JSON: {x}"),
        ("6", "broken_line", 'is not JSON: {"a": 1'),
        ("8", "broken_line", 'is cut off or not JSON: {"user'),
    ]
    assert len(done.users["u"].questions) == 2
    assert "3 of 8 lines are broken" in broken(tmp_path, "a.jsonl", "".join(MIXED), {"bad_lines": 0.37})


def test_broken_rows_of_csv(tmp_path: Path) -> None:
    header, *rows = table_of(ROWS).splitlines(keepends=True)
    latin = rows[2].replace("text", "t\u00e9xt").encode("latin-1")
    content = b"".join([header.encode(), rows[0].encode(), b"only,two\n", latin, rows[3].encode(), b'"open,1,2\n'])
    assert broken(tmp_path, "a.csv", content) == (
        "3 of 5 lines are broken: line 3 has 2 fields, the header 6, line 4 is not UTF-8, "
        "line 6 cannot be read (unexpected end of data): repair or remove the lines, or set data.tabular.bad_lines=0.6"
    )


def test_quoted_newlines_and_long_fields_of_csv(tmp_path: Path) -> None:
    rows = [row("u", day, text=f'line "one"\nline two, {day}' + " word" * 40_000) for day in (1, 2, 3, 4, 5)]
    write(tmp_path / "a.csv", table_of(rows))
    user = ingest(tmp_path).users["u"]
    assert user.items[0].text == rows[0]["text"]
    assert [q.question_id for q in user.questions] == ["u-4", "u-5"]


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    half = lines(ROWS[:1]).encode().replace(b"text 3", b"\xed\xa0\xbd")
    assert broken(tmp_path, "a.jsonl", half).startswith("line 1 is not UTF-8: ")
    odd = table_of(ROWS).encode("utf-16") + b"x"
    assert "the file again" in broken(tmp_path, "a.csv", odd, {"files": "*.csv"})


def test_a_header_with_a_column_twice(tmp_path: Path) -> None:
    assert broken(tmp_path, "a.csv", "text,user_id,text\na,b,c\n") == (
        "the header has the column 'text' more than once: rename one of them"
    )


def test_json_that_is_no_rows(tmp_path: Path) -> None:
    assert broken(tmp_path, "a.json", json.dumps({"data": ROWS}, indent=1)[:20]).endswith(
        "a JSON file is one list of objects, or has one object a line; repair or remove the lines"
    )
    assert broken(tmp_path, "a.json", json.dumps(ROWS)[:-20]) == (
        "is cut off at record 6 (counted from 0): repair it, or write it again"
    )


def test_remote_files_are_read_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    memory: Any = fsspec.filesystem("memory")
    memory.pipe("/bucket/data/a.jsonl.gz", gzip.compress(lines(ROWS[:3]).encode()))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS[3:]), sink)
    memory.pipe("/bucket/data/user=1/b.parquet", sink.getvalue())
    for other in ("README.md", "_SUCCESS", "data/.a.jsonl.crc", "_tmp/a.jsonl", "dataset_infos.json"):
        memory.pipe(f"/bucket/{other}", b"no rows")
    check(remote("memory://bucket", tmp_path))
    check_one = remote("memory://bucket/data/a.jsonl.gz", tmp_path / "one")
    assert set(check_one.users) == {"u"}


def remote(root: str, folder: Path) -> Ingested:
    from tests.data.files import ingest_pure

    own = {"questions": 2, "min_items": 3}
    return ingest_pure(root, NOTES, folder / "out", source="tabular", tabular=own)  # type: ignore[arg-type]


def test_what_remote_roots_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(root: str, source: Any = "tabular") -> str:
        with pytest.raises(UserError) as caught:
            find_sources(DataConfig(source=source, root=root), root)
        return str(caught.value)

    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "s3", {"class": "no_such_module.S3", "err": "Install"})
    assert find("s3://bucket/x") == "data.root: s3:// needs another package: pip install s3fs"
    assert find("nothing://x").startswith("data.root: nothing://x: Protocol not known: nothing: give a path of this ")
    assert find("memory://none").startswith("memory://none: ")
    assert find("memory://none", "lamp") == (
        "memory://none: data.source=lamp reads folders of this machine: copy the files into one"
    )
