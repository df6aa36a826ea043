"""Made-up records, and what killed, competing and starved writers of users do."""

import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Cursor
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore

ANNA, BERT = UserKey("one", "anna"), UserKey("one", "bert")
GHOSTS = [UserKey("one", f"ghost{i}") for i in range(4)]


def item(i: int, text: str = "some text", answer: str = "yes") -> HistoryItem:
    """The record `i`, which retrieval finds by text and number."""
    return HistoryItem(f"item{i}", text, f"{text} {i}", answer, "2020-01-01")


def generation(value: int) -> list[HistoryItem]:
    """A history whose records all say one number, so that a mixture of two changes shows."""
    return [item(i, f"generation {value} " + "long " * 300) for i in range(12)]


def of_generation(items: Sequence[HistoryItem]) -> int:
    """The number that all records say."""
    values = {int(some.text.split()[1]) for some in items}
    assert len(values) == 1, f"a mixture of changes: {values}"
    return values.pop()


def write_for_ever(state: ServiceState, first: int, pipe: Connection) -> None:
    """Replaces, deletes and adds, again and again; says ("begun", g) and ("done", g)."""
    store = state.open_users()
    for g in range(first, first + 10_000):
        pipe.send(("begun", g))
        store.append(ANNA, generation(g))
        store.delete(GHOSTS[g % len(GHOSTS)], {"reranker": g})
        store.append(GHOSTS[g % len(GHOSTS)], generation(g))
        pipe.send(("done", g))


def append_own(state: ServiceState, name: str, count: int, pipe: Connection) -> None:
    """Appends `count` records of its own to one user, one at a time."""
    store = state.open_users()
    pipe.recv()
    for i in range(count):
        store.append(ANNA, [HistoryItem(f"{name}{i}", f"by {name}", f"by {name}", "")])
    pipe.send("done")


def hold_a_transaction(state: ServiceState, pipe: Connection) -> None:
    """Changes ANNA and adds BERT in one transaction, and never ends it."""
    users = state.open_users()

    def work(cursor: Cursor) -> None:
        for user in (ANNA, BERT):
            users._append(cursor, user, [item(9)])  # type: ignore[attr-defined]
        pipe.send("in it")
        pipe.recv()

    users._database.write(ALL_TENANTS, work)  # type: ignore[attr-defined]


def starve(folder: str, limits: Sequence[int], pipe: Connection) -> None:
    """Writes with a limit on the size of a file, as on a full disk; says what came of it."""
    store = SQLiteUserStore.open(Path(folder))
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            store.append(ANNA, generation(limit))
            outcome = "done"
        except UserError as error:
            outcome = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        pipe.send((limit, outcome))
        pipe.recv()
    pipe.send(None)
