"""One large JSON list, read record by record."""

import json
from pathlib import Path

import pytest

from hydra_ray.data.formats.json_stream import is_object, stream_list, stream_under, value_under
from hydra_ray.errors import UserError
from tests.data.files import write
from tests.data.own_rows import ROWS, broken, ingest


def test_json_that_is_no_rows(tmp_path: Path) -> None:
    assert broken(tmp_path, "a.json", json.dumps({"data": ROWS}, indent=1)[:20]).endswith(
        "a JSON file is one list of objects, or has one object a line; repair or remove the lines"
    )
    assert broken(tmp_path, "a.json", json.dumps(ROWS)[:-20]) == (
        "is cut off at record 6 (counted from 0): repair it, or write it again"
    )


def test_records_come_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf [{"a": 1.5}, 2')
    found = stream_list(path, "a list")
    assert [next(found), next(found)] == [{"a": 1.5}, 2]
    with pytest.raises(UserError, match=r"a\.json: is cut off at record 2 \(counted from 0\): write or download"):
        next(found)
    assert not is_object(path)


def test_numbers_are_those_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[9223372036854775808, {"a": [-1e30, 1.50, 3, {"b": 1e400}]}, 0.1, [[2.0]]]')
    found = list(stream_list(path, "a list"))
    assert repr(found) == repr(json.loads(path.read_text()))


def test_long_ids_pass_in_a_list_as_in_lines(tmp_path: Path) -> None:
    rows = [{**each, "user_id": 2**63, "item_id": 2**64 + i} for i, each in enumerate(ROWS)]
    for name, text in (("list", json.dumps(rows)), ("lines", "\n".join(map(json.dumps, rows)))):
        write(tmp_path / name / "a.json", text)
        done = ingest(tmp_path / name)
        assert done.rejects == []
        assert list(done.users) == ["9223372036854775808"]
        assert done.users["9223372036854775808"].items[0].item_id.startswith("184467440737095516")


def test_lists_and_values_of_an_object(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"task": "T", "golds": [1, 2]}')
    assert is_object(path)
    assert list(stream_under(path, "golds", "an outputs file")) == [1, 2]
    assert [value_under(path, key, "an outputs file") for key in ("task", "none")] == ["T", None]
    with pytest.raises(UserError, match=r"a\.json: not a list: the file must be a JSON list of records"):
        list(stream_list(path, "a list"))
    path.write_text("[]")
    with pytest.raises(UserError, match="not an outputs file: the file must be a JSON object"):
        list(stream_under(path, "golds", "an outputs file"))
