"""Files of users that are broken, missing, locked or another's: always an error that names the file."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.serve.state import user_store as users_module
from hydra_ray.serve.state.user_store import HistoryUnreadableError, UserStore
from tests.serve.made_up import ANNA, BERT, item
from tests.serve.state.filled import KEYS, filled


def test_a_missing_file(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    (tmp_path / "users" / "bucket-000000.sqlite").unlink()
    for broken in (store, UserStore.open(tmp_path / "users")):  # with the file open, and without
        with pytest.raises(HistoryUnreadableError, match=r"bucket-000000\.sqlite: cannot be read: No such file"):
            broken.state(KEYS[0])
        with pytest.raises(HistoryUnreadableError, match="No such file"):
            broken.append(KEYS[0], [item(0)])


def test_another_buckets_file(tmp_path: Path) -> None:
    filled(tmp_path / "users", 2).close()
    shutil.copy(tmp_path / "users" / "bucket-000000.sqlite", tmp_path / "users" / "bucket-000001.sqlite")
    user = next(user for user in KEYS if bucket_of(user.stored, 2) == 1)
    with pytest.raises(HistoryUnreadableError, match="is bucket 0 of 2"):
        UserStore.open(tmp_path / "users").state(user)


def test_a_file_put_back_while_the_store_is_open(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    file = tmp_path / "users" / "bucket-000000.sqlite"
    shutil.copy(file, tmp_path / "backup")
    store.append(ANNA, [item(0)])
    (tmp_path / "backup").replace(file)
    assert store.state(ANNA) is None
    assert len(store.items(KEYS[5])) == 5


def test_a_file_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    UserStore.create(tmp_path / "users", 1)
    store = UserStore(tmp_path / "users", 1, busy_s=0.05)
    store.append(ANNA, [item(0)])
    other = sqlite3.connect(tmp_path / "users" / "bucket-000000.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"another process has held it for 0\.05 s; nothing was written: try again"):
        store.append(ANNA, [item(1)])
    with pytest.raises(HistoryUnreadableError, match="database is locked"):
        store.state(ANNA)
    other.close()
    assert store.append(ANNA, [item(1)]).revision == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    (tmp_path / "users" / "bucket-000000.sqlite-journal").unlink()
    (tmp_path / "users" / "bucket-000000.sqlite-journal").mkdir()  # stops root, too
    store.close()
    with pytest.raises(UserError, match=r"bucket-000000\.sqlite: "):
        store.append(BERT, [item(0)])
    (tmp_path / "users" / "bucket-000000.sqlite-journal").rmdir()
    assert store.state(BERT) is None
    assert store.state(KEYS[3]) is not None


def test_create_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(file: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(users_module, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            UserStore.create(tmp_path / "users", 4)
    (tmp_path / "users" / "bucket-000002.sqlite").unlink()
    assert UserStore.create(tmp_path / "users", 4).append(ANNA, [item(0)]).items == 1


def test_nothing_can_be_made_there(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a file")
    with pytest.raises(UserError, match="give a folder that can be written"):
        UserStore.create(tmp_path / "users", 4)
