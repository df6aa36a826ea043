"""Columns of Parquet are read by their type, or refused by it."""

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.errors import UserError
from tests.data.files import NOTES, Ingested, ingest_pure

DAYS = range(1, 6)


def table(**columns: Any) -> Any:
    whole = {
        "user_id": pa.array(["u"] * 5),
        "item_id": pa.array([f"i{day}" for day in DAYS]),
        "title": pa.array(["T"] * 5),
        "text": pa.array([f"text {day}" for day in DAYS]),
        "tag": pa.array(["red"] * 5),
        "date": pa.array([f"2020-01-{day:02d}" for day in DAYS]),
    }
    return pa.table({**whole, **columns})


def ingest(root: Path, written: Any, own: dict[str, Any] | None = None, **more: Any) -> Ingested:
    pq.write_table(written, root / "a.parquet")
    own = {"questions": 1, "min_items": 3, **(own or {})}
    return ingest_pure(root, NOTES, root / "out", checked=True, source="tabular", tabular=own, **more)


def texts(done: Ingested, user: str = "u") -> list[str]:
    found = done.users[user]
    return [item.text for item in found.items] + [question.text for question in found.questions]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_of_every_type_is_the_text(tmp_path: Path, kind: Any) -> None:
    text = pa.array([f"text ü{day}" for day in DAYS])
    column = text.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else text.cast(kind)
    assert texts(ingest(tmp_path, table(text=column))) == [f"text ü{day}" for day in DAYS]


def test_bytes_that_are_no_text_are_refused_by_column_and_type(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, table(text=pa.array([b"a", b"b", b"\xff", b"d", b"e"])))
    assert str(caught.value) == (
        f"{tmp_path}/a.parquet: column 'text' is binary, which is read as UTF-8, and row 2 (counted from 0) is none: "
        "write the column as a string"
    )


def test_strings_that_are_no_text_are_refused_too(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"b", b"c", b"\xed\xa0\xbd", b"e"])
    text = pa.Array.from_buffers(pa.string(), 5, raw.buffers())
    with pytest.raises(UserError, match=r"column 'text' is string, which is read as UTF-8, and row 3 \(counted from 0"):
        ingest(tmp_path, table(text=text))


def test_a_column_twice(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([*table().columns, table()["text"]], names=[*table().column_names, "text"])
    with pytest.raises(UserError, match=r"a.parquet: there are several columns 'text': rename one of them"):
        ingest(tmp_path, twice)


@pytest.mark.parametrize(
    ("ids", "user"),
    [
        (pa.array([Decimal(100)] * 5, pa.decimal128(38, 0)), "100"),
        (pa.array([Decimal("100.00")] * 5, pa.decimal128(10, 2)), "100"),
        (pa.array([Decimal("100.50")] * 5, pa.decimal128(10, 2)), "100.5"),
        (pa.array([uuid.UUID(int=100).bytes] * 5, pa.uuid()), "00000000-0000-0000-0000-000000000064"),
        (pa.array([100] * 5, pa.uint64()), "100"),
        (pa.array([100.0] * 5), "100"),
        (pa.array([b"u-1"] * 5, pa.binary(3)), "u-1"),
    ],
)
def test_ids_of_every_type(tmp_path: Path, ids: Any, user: str) -> None:
    done = ingest(tmp_path, table(user_id=ids))
    assert set(done.users) == {user}
    assert not done.rejects


def test_columns_that_mean_nothing_are_named_all_together(tmp_path: Path) -> None:
    bad = table(
        text=pa.array([["a"]] * 5), user_id=pa.array([True] * 5), date=pa.array([datetime.time(1)] * 5, pa.time64("us"))
    )
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, bad)
    text = str(caught.value)
    assert "column 'text' is list<" in text
    assert "column 'user_id' is bool, which is no id (text, whole numbers, decimals, UUIDs)" in text
    assert "column 'date' is time64[us], which is no date (text, numbers, dates, timestamps)" in text
    assert text.endswith(": cast it when writing the file, or name another column")


DAY_S = 86400


@pytest.mark.parametrize(
    ("dates", "newest"),
    [
        (pa.array([day * DAY_S for day in DAYS], pa.int64()).cast(pa.timestamp("s")), "1970-01-06T00:00:00.000"),
        (pa.array([day * 1000 for day in DAYS], pa.timestamp("ms")), "1970-01-01T00:00:05.000"),
        (pa.array([*range(1, 5), 10**15 + 5], pa.timestamp("us", "Asia/Tokyo")), "2001-09-09T01:46:40.000005"),
        (pa.array(list(DAYS), pa.timestamp("ns")), "1970-01-01T00:00:00.000000005"),
        (pa.array(list(DAYS), pa.date32()), "1970-01-06"),
        (pa.array([day * DAY_S * 1000 for day in DAYS], pa.date64()), "1970-01-06"),
        (pa.array([10**18 + day for day in DAYS]), "2001-09-09T01:46:40.000000005"),
        (pa.array([Decimal(10**9 + day) for day in DAYS]), "2001-09-09T01:46:45"),
    ],
)
def test_dates_of_every_type(tmp_path: Path, dates: Any, newest: str) -> None:
    done = ingest(tmp_path, table(date=dates))
    assert [(q.question_id, q.date) for q in done.users["u"].questions] == [("i5", newest)]
    assert texts(done) == [f"text {day}" for day in DAYS]
    assert not done.rejects


FAR = pa.array([*range(1, 5), 253402300800000000], pa.timestamp("us"))


def test_a_date_beyond_the_year_9999_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, table(date=FAR))
    assert "a.parquet: 1 of 5 dates (date) cannot be read: '253402300800000000 us since 1970, outside of the years 1 " \
        "to 9999' (a.parquet 4:i5): " in str(caught.value)  # fmt: skip


def test_a_date_beyond_the_year_9999_is_none_if_that_is_wanted(tmp_path: Path) -> None:
    done = ingest(tmp_path, table(date=FAR), {"bad_dates": "undated"})
    assert {(r.record, r.reason) for r in done.rejects} == {("4:i5", "malformed_date"), ("u/i5", "undated_item")}
    assert [(i.item_id, i.date) for i in done.users["u"].items][0] == ("i5", "")  # noqa: RUF015
    assert [q.question_id for q in done.users["u"].questions] == ["i4"]


def test_a_field_within_a_column(tmp_path: Path) -> None:
    nested = pa.array([{"body": {"plain": f"text {day}"}, "n": 1} for day in DAYS])
    written = table(ticket=nested).drop_columns(["text"])
    pq.write_table(written, tmp_path / "a.parquet")
    task = NOTES.model_copy(update={"text_fields": ("ticket.body.plain",), "corpus_fields": ()})
    done = ingest_pure(tmp_path, task, tmp_path / "out", source="tabular", tabular={"questions": 1, "min_items": 3})
    assert texts(done) == [f"text {day}" for day in DAYS]
    wrong = task.model_copy(update={"text_fields": ("ticket.text",)})
    with pytest.raises(
        UserError, match=r"no column 'ticket.text' \(text_fields\[0\]\), it has .*ticket.body, ticket.n"
    ):
        ingest_pure(tmp_path, wrong, tmp_path / "out2", source="tabular")


def test_null_and_missing_ids_are_made_of_the_row(tmp_path: Path) -> None:
    done = ingest(tmp_path, table(item_id=pa.array([None, "", "x", "y", "z"])))
    again = ingest(tmp_path, table().drop_columns(["item_id"]), {"id_field": None})
    ids = [item.item_id for item in done.users["u"].items]
    made = [item.item_id for item in again.users["u"].items]
    assert ids[:2] == made[:2]
    assert len(set(made)) == 4
    assert ids[2:] == ["x", "y"]
    assert all(name.startswith("row-") for name in made)
