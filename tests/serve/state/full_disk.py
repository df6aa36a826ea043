"""A store of users whose disk fills up, and gets room again: what `main` does, in a process of its own."""

import hashlib
from pathlib import Path
from typing import Any

from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.serve.state.users import NotStoredError, UserStore
from tests.serve.made_up import ANNA, BERT
from tests.small_disk import mount, resize

MOST = 4000
"""Records that no disk here has room for."""


def record(i: int) -> HistoryItem:
    text = hashlib.shake_256(str(i).encode()).hexdigest(1000)  # no database makes it much shorter
    return HistoryItem(f"item{i}", text, text, "yes")


def fill(store: UserStore, refusal: type[UserError] = NotStoredError) -> tuple[int, str]:
    """Appends one record after the other: how many were taken, and the words of the refusal."""
    for i in range(MOST):
        try:
            store.append(ANNA, [record(i)])
        except refusal as error:
            return i, str(error)
    raise AssertionError("the disk has room for everything")


def kept(store: UserStore) -> int:
    """How many records there are; all are whole."""
    items = store.items(ANNA)
    assert list(items) == [record(i) for i in range(len(items))]
    return len(items)


def main(folder: Path) -> dict[str, Any]:
    """On SQLite."""
    mount(folder, 1024)
    store = SQLiteUserStore.create(folder / "users", 2)
    taken, words = fill(store)
    again = fill_none(store, taken)
    found, reopened = kept(store), kept(SQLiteUserStore.open(folder / "users"))
    resize(folder, 4096)
    store.append(ANNA, [record(taken)])
    store.append(BERT, [record(0)])
    return {"taken": taken, "words": words, "again": again, "found": found, "reopened": reopened, "after": kept(store)}


def fill_none(store: UserStore, taken: int, refusal: type[UserError] = NotStoredError) -> str:
    """The words of a second refusal."""
    try:
        store.append(ANNA, [record(taken)])
    except refusal as error:
        return str(error)
    return "taken"
