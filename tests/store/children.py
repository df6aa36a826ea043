"""What the killed, the competing and the starved processes of the tests do."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.staged_fragments import StagedFragments
from tests.store.made_up import USERS, constant, parts_of

GHOSTS = [f"ghost{i}" for i in range(200)]


def start(work: Callable[..., None], *args: Any) -> tuple[ForkServerProcess, Connection]:
    """A process that has everything imported, and the end of a pipe to it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def write_for_ever(uri: str, kind: str, first: int, pipe: Connection) -> None:
    """Writes generation after generation in one way; says ("begun", g) and ("done", g)."""
    store = HeadStore.open(uri)
    for generation in range(first, first + 10_000):
        value = float(generation)
        pipe.send(("begun", generation))
        if kind == "put":
            store.put(USERS, constant(40, value))
        elif kind == "stage_heads":
            parts_of(store, USERS, value)
        elif kind == "publish":
            store.publish(parts_of(store, USERS, value), replace=False)
        elif kind == "delete":
            store.delete([GHOSTS[generation - first]])
        elif kind == "vacuum":
            store.put(USERS, constant(40, value))
            store.vacuum()
        pipe.send(("done", generation))


def read_for_ever(uri: str, pipe: Connection) -> None:
    """Reads and refreshes."""
    store = HeadStore.open(uri)
    while True:
        store.get(USERS)
        store.refresh()
        pipe.send(("done", store.version))


def compete(uri: str, name: str, value: float, pipe: Connection) -> None:
    """Puts users of its own, users of both, and a new user of both in every round."""
    store = HeadStore.open(uri)
    pipe.recv()
    for i in range(8):
        users = [f"{name}{i}", f"{name} always", "both always", f"both{i}"]
        store.put(users, constant(4, value + i))
    pipe.send("done")


def starve(uri: str, limits: list[int], pipe: Connection) -> None:
    """Writes with a limit on the size of a file, as on a full disk; says what came of it."""
    store = HeadStore.open(uri)
    parts: list[StagedFragments] = []
    ways: list[Callable[[], object]] = [
        lambda: store.put(USERS, constant(40, 2.0)),
        lambda: store.publish(parts, replace=True),
        lambda: store.delete(USERS[:1]),
        store.vacuum,
    ]
    for limit in limits:
        parts[:] = parts_of(store, USERS, 2.0)
        for number, way in enumerate(ways):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                way()
                outcome = "done"
            except UserError as error:
                outcome = str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            pipe.send((limit, number, outcome))
            pipe.recv()
            store.refresh()
    pipe.send(None)
