"""One bucket's file, damaged or another program's."""

import random
import sqlite3
from pathlib import Path

import pytest

from hydra_ray.serve.state.bucket_file import UNFINISHED
from hydra_ray.serve.state.user_store import HistoryUnreadableError, UserStore
from tests.serve.made_up import ANNA, item
from tests.serve.state.filled import KEYS, filled


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
        damaged = UserStore.open(tmp_path / "users")
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


def test_a_file_of_another_format_or_of_another_program(tmp_path: Path) -> None:
    store = UserStore.create(tmp_path / "users", 1)
    file = tmp_path / "users" / "bucket-000000.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(HistoryUnreadableError, match="another version of hydra_ray"):
        store.state(ANNA)
    file.unlink()
    sqlite3.connect(file).execute("CREATE TABLE t (a)")
    with pytest.raises(HistoryUnreadableError, match="holds no users"):
        store.state(ANNA)
