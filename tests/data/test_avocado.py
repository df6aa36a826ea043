"""LaMP 6 from an archive: the files that are made, that a run reads them, and every kind of bad input."""

import json
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.cli import main
from hydra_ray.core.tasks import load_task
from hydra_ray.data.avocado import Built, build_avocado, id_files
from hydra_ray.data.mails import BOUNDARY
from hydra_ray.data.rejects import Reject
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.lamp import scan_lamp
from hydra_ray.errors import UserError
from tests.data.made_up_mails import IDS, MAILS, ONE, TWO, record, write_ids, write_zips


def built(tmp_path: Path, ids: dict[str, Any] = IDS, out: str = "out") -> Path:
    files = id_files(write_ids(tmp_path / "ids", ids), {})
    build_avocado(write_zips(tmp_path / "zips"), files, tmp_path / out)
    return tmp_path / out


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def test_questions_and_outputs_are_lamps(tmp_path: Path) -> None:
    out = built(tmp_path)
    assert read(out / "train_questions.json")[0] == {
        "id": "600",
        "input": "Generate a subject for the following email: Shall we eat at noon?",
        "profile": [
            {"id": "600-0", "text": "The gate is grün.", "date": "2001-04-02", "title": "Grüße from the garden"},
            {
                "id": "600-1",
                "text": BOUNDARY.join(["Tea at four.", "<p>Tea at four.</p>", "BEGIN:VCALENDAR"]),
                "date": "2001-04-02",
                "title": "Plans",
            },
        ],
        "user_id": "u1",
    }
    golds = [{"id": "600", "output": "Lunch"}, {"id": "601", "output": "Re: Lunch"}]
    assert read(out / "train_outputs.json") == {"task": "LaMP_6", "golds": golds}
    assert "user_id" not in read(out / "dev_questions.json")[0]
    assert {file.name for file in out.iterdir()} == {
        "train_questions.json", "train_outputs.json", "dev_questions.json", "dev_outputs.json", "test_questions.json",
    }  # fmt: skip


def test_a_run_reads_them(tmp_path: Path) -> None:
    out = built(tmp_path)
    source = Source("lamp", 0, out / "train_questions.json", "train", out / "train_outputs.json", "train")
    rows = list(scan_lamp(source, load_task("lamp_6")))
    assert not [row for row in rows if isinstance(row, Reject)]
    assert [row.user_id for row in rows if not isinstance(row, Reject)] == ["u1", "u2"]


def test_equal_input_makes_equal_bytes(tmp_path: Path) -> None:
    first, second = built(tmp_path), built(tmp_path, out="again")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_a_list_under_golds_is_read_too(tmp_path: Path) -> None:
    ids = write_ids(tmp_path / "ids", {"test": {"task": "LaMP_6", "golds": IDS["test"]}})
    made = build_avocado(write_zips(tmp_path / "zips"), id_files(None, {"test": ids / "test_questions.json"}), tmp_path)
    assert made.splits == {"test": Built(1, 0)}


def test_questions_with_a_missing_mail_are_left_out_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = [record("602", "009-000001-EM.txt"), record("603", ONE, TWO, "009-000002-EM.txt")]
    ids = write_ids(tmp_path / "ids", {"train": IDS["train"] + lost})
    zips, out = write_zips(tmp_path / "zips"), tmp_path / "out"
    words = ["avocado", "--zips", str(zips), "--train", str(ids / "train_questions.json"), "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"train": {"questions": 2, "left_out": 2}}
    assert "2 mails that no zip holds (009-000001-EM.txt, 009-000002-EM.txt)" in printed.err
    assert (out / "missing_mails.txt").read_text() == "009-000001-EM.txt\n009-000002-EM.txt\n"
    assert [question["id"] for question in read(out / "train_questions.json")] == ["600", "601"]
    assert len(read(out / "train_outputs.json")["golds"]) == 2
    write_ids(tmp_path / "ids", IDS)
    assert main(words) == 0
    assert not (out / "missing_mails.txt").exists()


def refused(tmp_path: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line about a command that fails, after which nothing has been written."""
    assert main(["avocado", *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))
    return line


BAD_IDS = {
    "is cut off": '[{"id": "1", "input": "a", "profile": []}',
    "holds no questions": "[]",
    "not a file of LaMP 6's ids": '"text"',
    "record 0 (counted from 0): not a file of LaMP 6's ids: it has no id": [{"input": ONE, "profile": []}],
    "no name of a mail as its input": [{"id": "1", "input": "Generate a subject for: a\nb", "profile": []}],
    "no profile list": [{"id": "1", "input": ONE}],
    "no id and name of a mail in one of its profile's items": [{"id": "1", "input": ONE, "profile": [{"id": "2"}]}],
    "none of its 1 questions has all its mails, such as 009.txt": [{"id": "1", "input": "009.txt", "profile": []}],
}


@pytest.mark.parametrize("expected", BAD_IDS)
def test_wrong_ids_are_one_line(tmp_path: Path, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = BAD_IDS[expected]
    ids = tmp_path / "ids.json"
    ids.write_text(content if isinstance(content, str) else json.dumps(content))
    zips = write_zips(tmp_path / "zips", MAILS)
    words = ("--zips", str(zips), "--dev", str(ids), "--out", str(tmp_path / "out"))
    line = refused(tmp_path, *words, capsys=capsys)
    assert expected in line
    assert str(ids) in line


def test_missing_files_and_wrong_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zips, ids, out = write_zips(tmp_path / "zips"), write_ids(tmp_path / "ids"), tmp_path / "out"
    given = ("--zips", str(zips), "--out", str(out))
    assert "no ids; give --ids" in refused(tmp_path, *given, capsys=capsys)
    assert "test_questions.json: no such file; give LaMP 6's ids of test" in refused(
        tmp_path, *given, "--ids", str(ids), "--test", str(tmp_path / "test_questions.json"), capsys=capsys
    )
    nowhere = ("--zips", str(tmp_path / "nowhere"), "--ids", str(ids), "--out", str(out))
    assert "nowhere: no such folder" in refused(tmp_path, *nowhere, capsys=capsys)
    over = ("--zips", str(zips), "--ids", str(ids), "--out", str(ids))
    assert "is a file that is read; write elsewhere" in refused(tmp_path, *over, capsys=capsys)
    for name in ("train_outputs.json", "missing_mails.txt"):
        (ids / name).write_bytes((ids / "train_questions.json").read_bytes())
        onto = (*over[:2], "--train", str(ids / name), "--out", str(ids))
        assert "is a file that is read; write elsewhere" in refused(tmp_path, *onto, capsys=capsys)
        assert json.loads((ids / name).read_text())
    onto = ("--zips", str(zips), "--ids", str(ids), "--out", str(ids / "dev_questions.json"))
    assert "is a file; give a folder" in refused(tmp_path, *onto, capsys=capsys)
    (ids / "dev_questions.json").unlink()
    with pytest.raises(UserError, match=r"dev_questions\.json: no such file"):
        id_files(ids, {})
