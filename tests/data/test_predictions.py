import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.data.predictions import parse_outputs, read_outputs
from hydra_ray.errors import UserError


def content(task: str = "LaMP_3", golds: Any = ({"id": "1", "output": "5"},)) -> str:
    return json.dumps({"task": task, "golds": golds})


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_outputs_are_read_as_text_and_further_keys_ignored() -> None:
    golds = [{"id": 7, "output": 4}, {"id": "b", "output": 4.5, "index": 2}, {"id": "c", "output": None}]
    found = parse_outputs(json.dumps({"task": "LaMP_3", "golds": golds, "model": "x"}).encode(), "f")
    assert list(found.outputs) == [("7", "4"), ("b", "4.5"), ("c", "")]
    assert found.task_id == "LaMP_3"


def test_no_number_is_no_answer_and_other_encodings_are_one_line(tmp_path: Path) -> None:
    assert parse_outputs(b'{"task": "LaMP_3", "golds": [{"id": "1", "output": NaN}]}', "f").outputs == [("1", "")]
    (tmp_path / "f.json").write_bytes('{"task": "caf\xe9"}'.encode("latin-1"))
    assert "is not in UTF-8 (byte 13); convert it" in refused(tmp_path / "f.json")


def test_every_json_file_of_a_zip_is_a_tasks(tmp_path: Path) -> None:
    members = {
        "LaMP_3.json": content(),
        "deep/er/x.json": content("LaMP_4"),
        "notes.txt": "no json",
        "__MACOSX/._LaMP_3.json": "\0",
        "deep/._x.json": "\0",
    }
    found = read_outputs(zipped(tmp_path / "p.zip", members))
    assert [file.task_id for file in found] == ["LaMP_3", "LaMP_4"]
    assert found[1].where.endswith("p.zip: deep/er/x.json")


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_outputs(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", "a/../../x.json", "C:\\x.json", "..\\x.json", "../x.txt"])
def test_a_path_that_climbs_out_of_the_zip_is_refused(tmp_path: Path, name: str) -> None:
    line = refused(zipped(tmp_path / "p.zip", {name: content()}))
    assert "climbs out" in line
    assert not (tmp_path.parent / "x.json").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("\x00\xff", "is not JSON"),
        ("[" * 100_000, "is nested too deeply"),
        ("9" * 5000, "cannot be read (Exceeds the limit"),
        (
            content() + "\n" + content(),
            "goes on after its first value (line 2, column 1); a file holds one",
        ),
        ("[]", "names no task"),
        (json.dumps({"task": 3, "golds": []}), "names no task"),
        (json.dumps({"task": "LaMP_3"}), 'no list "golds"'),
        (content(golds=[{"id": "1"}]), "entry 0"),
        (content(golds=[{"id": "1", "output": "x"}, {"id": None, "output": "x"}]), "entry 1"),
        (content(golds=["x"]), "entry 0"),
        (content(golds=[{"id": "1", "output": ["x"]}]), "output of 1 is list"),
        (content(golds=[{"id": "1", "output": True}]), "output of 1 is bool"),
    ],
)
def test_another_layout_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "f.json").write_text(text)
    assert expected in refused(tmp_path / "f.json")
    in_zip = refused(zipped(tmp_path / "f.zip", {"a/f.json": text}))
    assert expected in in_zip
    assert "f.zip: a/f.json" in in_zip


def test_zips_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "p.zip", {"a.json": content() * 50}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert "broken zip" in refused(tmp_path / "cut.zip")
    changed = bytearray(whole)
    changed[60] ^= 0xFF
    (tmp_path / "changed.zip").write_bytes(changed)
    assert "broken zip" in refused(tmp_path / "changed.zip")
    assert "no .json file" in refused(zipped(tmp_path / "none.zip", {"a.txt": ""}))
    assert "two files of LaMP_3" in refused(zipped(tmp_path / "two.zip", {"a.json": content(), "b.json": content()}))
    assert "No such file" in refused(tmp_path / "absent.json")
    assert "directory" in refused(tmp_path)
