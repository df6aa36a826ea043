"""Archived folders: whole or not at all, also with two writers at the same time."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.archive.folders import ArchivedFolders, sizes_in
from hydra_ray.store.archive.object_store import ObjectStore


def make_folder(folder: Path, content: str) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text(content)
    (folder / "deep" / "b").write_text(content * 3)
    return folder


def test_a_folder_comes_back_and_is_replaced(store: ObjectStore, tmp_path: Path) -> None:
    folders = ArchivedFolders(store)
    assert not folders.holds("steps/x-1")
    assert not folders.fetch("steps/x-1", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    folders.publish("steps/x-1", make_folder(tmp_path / "first", "one"))
    assert folders.holds("steps/x-1")
    folders.publish("steps/x-1", make_folder(tmp_path / "second", "other"), without=["deep"])
    assert folders.fetch("steps/x-1", tmp_path / "fetched")
    assert sizes_in(tmp_path / "fetched") == {"a": 5}
    assert len(store.sizes("steps/x-1")) == 2  # nothing is left of the first


def test_an_upload_that_was_cut_short_is_not_there(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, source = ArchivedFolders(store), make_folder(tmp_path / "source", "one")

    def killed(name: str, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            folders.publish("steps/x-1", source)
    assert store.sizes("steps/x-1")
    assert not folders.holds("steps/x-1")
    folders.publish("steps/x-1", source)
    assert folders.fetch("steps/x-1", tmp_path / "fetched")


def test_two_writers_of_one_name_do_not_mix(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, other = ArchivedFolders(store), ArchivedFolders(store)
    upload = store.upload

    def overtaken(source: Path, folder: str, files: list[str]) -> None:
        monkeypatch.setattr(store, "upload", upload)
        upload(source, folder, files)
        other.publish("steps/x-1", make_folder(tmp_path / "second", "other"))

    monkeypatch.setattr(store, "upload", overtaken)
    folders.publish("steps/x-1", make_folder(tmp_path / "first", "one"))
    assert folders.fetch("steps/x-1", tmp_path / "fetched")
    assert sizes_in(tmp_path / "fetched") == sizes_in(tmp_path / "first")


def test_a_missing_file_and_a_broken_pointer_are_one_line(store: ObjectStore, tmp_path: Path) -> None:
    folders = ArchivedFolders(store)
    folders.publish("steps/x-1", make_folder(tmp_path / "source", "one"))
    (lost,) = [name for name in store.sizes("steps/x-1") if name.endswith("deep/b")]
    store.delete([lost])
    with pytest.raises(UserError, match="steps/x-1 has 1 files of 3 bytes and should have 2 of 12; delete it there"):
        folders.fetch("steps/x-1", tmp_path / "fetched")
    assert [path.name for path in tmp_path.iterdir() if "fetch" in path.name] == []
    store.write("steps/x-1/current.json", b"{")
    with pytest.raises(UserError, match=r"current\.json is broken; delete it there"):
        folders.holds("steps/x-1")
