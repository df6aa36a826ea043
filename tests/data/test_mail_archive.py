import zipfile
from pathlib import Path

import pytest

from hydra_ray.data import mail_archive
from hydra_ray.data.mail_archive import MailArchive
from hydra_ray.data.mails import parse_mail
from hydra_ray.errors import UserError
from tests.data.made_up_mails import MAILS, ONE, TWO, plain, write_zips


def test_the_wanted_mails_are_found_and_nothing_stays_on_disk(tmp_path: Path) -> None:
    zips = write_zips(tmp_path / "zips")
    kept = tmp_path / "kept"
    kept.mkdir()
    with MailArchive(kept) as mails:
        mails.load(zips, MAILS.keys() - {TWO})
        assert mails.find(ONE) == parse_mail(MAILS[ONE])
        assert mails.find(TWO) is None
        assert mails.find("003-000001-EM.txt") is None
    assert list(kept.iterdir()) == []


def test_only_files_one_folder_deep_are_mails_and_the_first_of_a_name_counts(tmp_path: Path) -> None:
    for zip_name, members in {
        "b.zip": {f"x/{ONE}": plain("second zip", "")},
        "a.zip": {
            ONE: plain("too high", ""),
            f"x/y/{ONE}": plain("too deep", ""),
            f"x/{ONE}": plain("right", ""),
            f"y/{ONE}": plain("again", ""),
        },
    }.items():
        with zipfile.ZipFile(tmp_path / zip_name, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    with MailArchive(tmp_path) as mails:
        mails.load(tmp_path, {ONE})
        found = mails.find(ONE)
    assert found is not None
    assert found.subject == "right"


def refused(tmp_path: Path, zips: Path) -> str:
    with MailArchive(tmp_path) as mails, pytest.raises(UserError) as error:
        mails.load(zips, MAILS.keys())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_zips_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path, tmp_path / "nowhere")
    assert "holds no .zip" in refused(tmp_path, tmp_path)


def test_a_zip_that_climbs_or_is_broken_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"../{ONE}", b"")
    assert "climbs out" in refused(tmp_path, tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    assert "broken zip" in refused(tmp_path, tmp_path)
    (tmp_path / "a.zip").unlink()
    (tmp_path / "a.zip").mkdir()
    assert "a.zip: Is a directory" in refused(tmp_path, tmp_path)


def test_a_mail_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_archive, "MOST_BYTES", 10)
    assert f"001/{ONE} has more than" in refused(tmp_path, write_zips(tmp_path / "zips"))
