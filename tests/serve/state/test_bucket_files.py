"""Files of users that are broken, missing, locked or another's: always an error that names the file."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.sqlite import user_store as users_module
from hydra_ray.serve.state.sqlite.bucket_file import UNFINISHED
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.serve.state.users import HistoryUnreadableError
from tests.serve.made_up import ANNA, BERT, item

KEYS = [UserKey("one", f"user {i}") for i in range(12)]


def filled(folder: Path, buckets: int = 1) -> SQLiteUserStore:
    store = SQLiteUserStore.create(folder, buckets)
    for number, user in enumerate(KEYS):
        store.append(user, [item(i, f"{user.user_id} says {i} " * 8) for i in range(number)])
    return store


def test_queued_fits_are_found_without_a_look_at_every_user(tmp_path: Path) -> None:
    filled(tmp_path / "users").close()
    db = sqlite3.connect(tmp_path / "users" / "bucket-000000.sqlite")
    (plan,) = db.execute(f"EXPLAIN QUERY PLAN {UNFINISHED}").fetchall()
    db.close()
    assert "USING INDEX unfinished" in plan[3]


def damages(raw: bytes, count: int) -> list[bytes]:
    """Bytes flipped, pages zeroed or swapped, ends cut off."""
    rng, made = random.Random(3), []
    for i in range(count):
        broken = bytearray(raw)
        at = rng.randrange(len(raw))
        page, other = (rng.randrange(len(raw) // 4096) * 4096 for _ in range(2))
        match i % 8:
            case 0:
                broken[page : page + 4096] = bytes(4096)
            case 1:
                broken[page : page + 4096] = raw[other : other + 4096]
            case 2:
                del broken[at:]
            case 3:
                broken[rng.randrange(100)] ^= 1 << rng.randrange(8)  # the file's header
            case _:
                broken[at] ^= 1 << rng.randrange(8)
        made.append(bytes(broken))
    return made


def test_a_damaged_file_never_gives_a_wrong_answer(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    right = {user: store.history(user) for user in [*KEYS, ANNA]}
    assert right[ANNA] is None
    listed = store.users("one", "", 100)
    store.close()
    file = tmp_path / "users" / "bucket-000000.sqlite"
    right_ones, errors = 0, []
    for broken in damages(file.read_bytes(), 120):
        file.unlink()
        file.write_bytes(broken)
        for leftover in tmp_path.glob("users/*-*.sqlite-*"):
            leftover.unlink()
        damaged = SQLiteUserStore.open(tmp_path / "users")
        for user, history in right.items():
            try:
                assert damaged.history(user) == history
                if user in (ANNA, KEYS[7]):
                    assert damaged.append(user, [item(99)]).items == (len(history[1]) if history else 0) + 1
                    assert damaged.items(user) == [*(history[1] if history else []), item(99)]
                right_ones += 1
            except HistoryUnreadableError as error:
                errors.append(str(error))
        try:
            assert {user for user, _ in listed} <= {user for user, _ in damaged.users("one", "", 100)}
        except HistoryUnreadableError as error:
            errors.append(str(error))
        damaged.close()
    assert min(right_ones, len(errors)) > 100
    assert all(error.startswith(f"{file}: cannot be read: ") and "\n" not in error for error in errors)


def test_a_missing_file(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    (tmp_path / "users" / "bucket-000000.sqlite").unlink()
    for broken in (store, SQLiteUserStore.open(tmp_path / "users")):  # with the file open, and without
        with pytest.raises(HistoryUnreadableError, match=r"bucket-000000\.sqlite: cannot be read: No such file"):
            broken.state(KEYS[0])
        with pytest.raises(HistoryUnreadableError, match="No such file"):
            broken.append(KEYS[0], [item(0)])


def test_another_buckets_file(tmp_path: Path) -> None:
    filled(tmp_path / "users", 2).close()
    shutil.copy(tmp_path / "users" / "bucket-000000.sqlite", tmp_path / "users" / "bucket-000001.sqlite")
    user = next(user for user in KEYS if bucket_of(user.stored, 2) == 1)
    with pytest.raises(HistoryUnreadableError, match="is bucket 0 of 2"):
        SQLiteUserStore.open(tmp_path / "users").state(user)


def test_a_file_put_back_while_the_store_is_open(tmp_path: Path) -> None:
    store = filled(tmp_path / "users")
    file = tmp_path / "users" / "bucket-000000.sqlite"
    shutil.copy(file, tmp_path / "backup")
    store.append(ANNA, [item(0)])
    (tmp_path / "backup").replace(file)
    assert store.state(ANNA) is None
    assert len(store.items(KEYS[5])) == 5


def test_a_file_of_another_format_or_of_another_program(tmp_path: Path) -> None:
    store = SQLiteUserStore.create(tmp_path / "users", 1)
    file = tmp_path / "users" / "bucket-000000.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(HistoryUnreadableError, match="another version of hydra_ray"):
        store.state(ANNA)
    file.unlink()
    sqlite3.connect(file).execute("CREATE TABLE t (a)")
    with pytest.raises(HistoryUnreadableError, match="holds no users"):
        store.state(ANNA)


def test_a_file_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SQLiteUserStore.create(tmp_path / "users", 1)
    store = SQLiteUserStore(tmp_path / "users", 1, busy_s=0.05)
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
            SQLiteUserStore.create(tmp_path / "users", 4)
    (tmp_path / "users" / "bucket-000002.sqlite").unlink()
    assert SQLiteUserStore.create(tmp_path / "users", 4).append(ANNA, [item(0)]).items == 1


def test_nothing_can_be_made_there(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a file")
    with pytest.raises(UserError, match="give a folder that can be written"):
        SQLiteUserStore.create(tmp_path / "users", 4)
