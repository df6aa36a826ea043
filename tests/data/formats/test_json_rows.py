"""Rows of JSON Lines, broken ones too."""

import json
from pathlib import Path

from tests.data.files import write
from tests.data.own_rows import ROWS, broken, ingest

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
