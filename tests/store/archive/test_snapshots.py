"""Snapshots of a folder that is written into: whole, of one moment, and only what is new is uploaded."""

import threading
import time
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.archive import snapshots
from hydra_ray.store.archive.folders import sizes_in
from hydra_ray.store.archive.object_store import ObjectStore
from hydra_ray.store.archive.snapshots import FolderSnapshots

NAME = "unfinished/x-1"


def everything(file: str) -> bool:
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of an earlier moment than any snapshot's."""
    made = tmp_path / "there"
    (made / "deep").mkdir(parents=True)
    (made / "a").write_text("one")
    (made / "deep" / "b").write_text("four")
    return made


def restored(store: ObjectStore, folder: Path) -> dict[str, str] | None:
    """name -> text of the latest snapshot's files."""
    if not FolderSnapshots(store, NAME, folder, everything).restore():
        return None
    return {name: (folder / name).read_text() for name in sizes_in(folder)}


def test_a_folder_comes_back_as_it_was_at_the_last_snapshot(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    kept = FolderSnapshots(store, NAME, folder, lambda file: file != "a")
    assert restored(store, tmp_path / "none") is None
    assert kept.save()
    assert restored(store, tmp_path / "first") == {"deep/b": "four"}
    (folder / "deep" / "b").unlink()
    (folder / "c").write_text("six")
    assert kept.save()
    (folder / "d").write_text("too late")
    assert restored(store, tmp_path / "second") == {"c": "six"}
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c", "d", "deep"]


def test_only_what_is_new_is_uploaded_and_what_is_gone_is_deleted(
    store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, uploaded, upload = FolderSnapshots(store, NAME, folder, everything), list[list[str]](), store.upload

    def count(source: Path, under: str, files: list[str]) -> None:
        uploaded.append(sorted(files))
        upload(source, under, files)

    monkeypatch.setattr(store, "upload", count)
    assert kept.save()
    assert kept.save()
    (folder / "a").write_text("other")
    assert kept.save()
    assert uploaded == [["a", "deep/b"], ["a"]]
    (folder / "a").unlink()
    assert kept.save()
    stored = [name for name in store.sizes(NAME) if not name.endswith("current.json")]
    assert [name.split("/")[-1] for name in stored] == ["b"]
    kept.remove()
    assert store.sizes(NAME) == {}


def test_a_file_never_comes_without_one_that_was_written_before_it(tmp_path: Path) -> None:
    """A writer puts down a file and then one that names it, all the time."""
    store, folder, over = ObjectStore(f"file://{tmp_path}/archive"), tmp_path / "there", threading.Event()
    folder.mkdir()

    def write() -> None:
        number = 0
        while not over.is_set():
            (folder / f"data-{number}").write_text("x" * 1000)
            (folder / f"record-{number}").write_text(f"data-{number}")
            number += 1
            time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    kept, counts = FolderSnapshots(store, NAME, folder, everything), []
    try:
        for attempt in range(10):
            while not (folder / f"record-{20 * attempt}").exists() or not kept.save():
                time.sleep(0.001)  # a file is being written at this moment
            found = restored(store, tmp_path / f"restored-{attempt}") or {}
            records = {text for name, text in found.items() if name.startswith("record")}
            assert records <= found.keys()
            assert all(len(found[name]) == 1000 for name in records)
            counts.append(len(records))
    finally:
        over.set()
        writer.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.parametrize("change", ["rewritten", "removed"])
def test_a_file_that_changes_while_it_is_read_leaves_the_last_snapshot(
    store: ObjectStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    kept, upload = FolderSnapshots(store, NAME, folder, everything), store.upload
    assert kept.save()
    (folder / "a").write_text("second")

    def overtaken(source: Path, under: str, files: list[str]) -> None:
        (folder / "a").unlink() if change == "removed" else (folder / "a").write_text("third, longer")
        upload(source, under, files)

    with monkeypatch.context() as patch:
        patch.setattr(store, "upload", overtaken)
        assert not kept.save()
    assert restored(store, tmp_path / "first") == {"a": "one", "deep/b": "four"}
    assert kept.save()
    expected = {"deep/b": "four"} if change == "removed" else {"a": "third, longer", "deep/b": "four"}
    assert restored(store, tmp_path / "second") == expected


def test_a_file_that_was_rewritten_just_now_is_not_left_out(
    store: ObjectStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, files = FolderSnapshots(store, NAME, folder, everything), FolderSnapshots._files
    assert kept.save()

    def written_meanwhile(self: FolderSnapshots) -> dict[str, snapshots.FileState]:
        (folder / "a").write_text("now")
        return files(self)

    with monkeypatch.context() as patch:
        patch.setattr(FolderSnapshots, "_files", written_meanwhile)
        assert not kept.save()
    assert restored(store, tmp_path / "first") == {"a": "one", "deep/b": "four"}


def test_two_writers_of_one_name_do_not_mix(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("theirs")
    ours, theirs = FolderSnapshots(store, NAME, folder, everything), FolderSnapshots(store, NAME, other, everything)
    assert ours.save()
    assert theirs.save()
    assert restored(store, tmp_path / "first") == {"a": "theirs"}
    (folder / "c").write_text("six")
    assert ours.save()
    assert restored(store, tmp_path / "second") == {"a": "one", "deep/b": "four", "c": "six"}


def test_what_cannot_be_read_whole_is_one_line(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    kept = FolderSnapshots(store, NAME, folder, everything)
    assert kept.save()
    (b,) = [name for name in store.sizes(NAME) if name.endswith("/b")]
    store.write(b, b"fo")
    with pytest.raises(UserError, match=f"{b} is cut short"):
        restored(store, tmp_path / "cut")
    store.delete([b])
    with pytest.raises(UserError, match="cannot fetch 2 objects"):
        restored(store, tmp_path / "gone")
    for broken in (b"{", b"[]", b'{"a": 1}'):
        store.write(f"{NAME}/current.json", broken)
        with pytest.raises(UserError, match=r"current\.json is broken"):
            restored(store, tmp_path / "broken")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "archive") == ["there"]
