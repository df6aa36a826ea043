"""Rows of CSV and TSV."""

from pathlib import Path

from tests.data.files import write
from tests.data.own_rows import ROWS, broken, check, ingest, row, table_of


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


def test_blank_lines_above_the_header_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", " \r\n\n" + table_of(ROWS))
    check(ingest(tmp_path))
    assert broken(tmp_path, "a.csv", "\n\n" + table_of(ROWS) + "only,two\n") == (
        "line 11 has 2 fields, the header 6: repair or remove the line"
    )


def test_a_quote_that_is_not_closed_breaks_all_lines_that_it_takes_in(tmp_path: Path) -> None:
    header, *good = table_of([row("u", day) for day in range(1, 21)]).splitlines(keepends=True)
    content = "".join([header, *good[:10], 'u,u-30,T,"open,Red,2020-01-30\n', *good[10:]])
    assert broken(tmp_path, "a.csv", content, {"bad_lines": 0.1}) == (
        "11 of 21 lines are broken: line 12 cannot be read (unexpected end of data), and its quotes reach to line 22: "
        "repair or remove the lines, or set data.tabular.bad_lines=0.524"
    )
    content = "".join([header, *good[:10], 'u,u-30,T,"open\n', *good[10:15], 'shut",Red\n', *good[15:], "two,fields\n"])
    assert broken(tmp_path, "a.csv", content, {"bad_lines": 0.1}) == (
        "8 of 23 lines are broken: line 12 has 5 fields, the header 6, and its quotes reach to line 18, "
        "line 24 has 2 fields, the header 6: repair or remove the lines, or set data.tabular.bad_lines=0.348"
    )


def test_a_header_with_a_column_twice(tmp_path: Path) -> None:
    assert broken(tmp_path, "a.csv", "text,user_id,text\na,b,c\n") == (
        "the header has the column 'text' more than once: rename one of them"
    )
