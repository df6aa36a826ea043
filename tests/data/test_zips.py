import zipfile
from pathlib import Path

import pytest

from hydra_ray.data.zips import reading
from hydra_ray.errors import UserError


def test_members_are_files_in_the_order_of_the_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.mkdir("folder")
        for name in ("folder/b", "folder/a", "c..d/e"):
            archive.writestr(name, name)
    with reading(tmp_path / "z.zip", "files") as (archive, members):
        assert [archive.read(member).decode() for member in members] == ["folder/b", "folder/a", "c..d/e"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:\\x", "..\\x"])
def test_a_path_that_climbs_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(name, "")
    climbs = r"z\.zip: '.*' climbs out of the zip; make .* a folder of mails$"
    with pytest.raises(UserError, match=climbs), reading(tmp_path / "z.zip", "mails"):
        pass


def test_a_member_that_is_damaged_or_has_a_password_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("x", "some text")
    whole = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "z.zip").write_bytes(whole.replace(b"some text", b"same text"))
    with pytest.raises(UserError, match="a broken zip"), reading(tmp_path / "z.zip", "files") as (archive, members):
        archive.read(members[0])
    flags = whole.index(b"PK\1\2") + 8  # of the member, in the zip's directory: bit 0 says that it is encrypted
    (tmp_path / "z.zip").write_bytes(whole[:flags] + b"\1" + whole[flags + 1 :])
    locked = "give a zip without a password"
    with pytest.raises(UserError, match=locked), reading(tmp_path / "z.zip", "files") as (archive, members):
        archive.read(members[0])
