"""Killed, competing and starved writers: the last published version stays, whole, and the next writer works."""

import os
import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads import writer
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.lance_io import ConflictError
from hydra_ray.store.heads.rows import to_table
from tests.store.children import GHOSTS, compete, read_for_ever, start, starve, write_for_ever
from tests.store.heads.generations import generation
from tests.store.made_up import SPEC, USERS, constant, heads, numbers


class Reading:
    """Reads and refreshes in a thread, as a server does; keeps the generations it saw, and what went wrong."""

    def __init__(self, uri: str) -> None:
        self.seen: list[float] = []
        self.error: BaseException | None = None
        self._store = HeadStore.open(uri)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._store.refresh()
                self.seen.append(generation(self._store))
        except BaseException as error:
            self.error = error

    def __enter__(self) -> "Reading":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


ROUNDS = 3


@pytest.mark.parametrize("kind", ["put", "stage_heads", "publish", "delete", "vacuum"])
def test_writer_killed_at_random(tmp_path: Path, kind: str) -> None:
    uri, rng = str(tmp_path / "heads"), random.Random(kind)
    store = HeadStore.create(uri, SPEC)
    store.put([*USERS, *GHOSTS], constant(240, 1.0))
    first, last = 2, 1.0
    with Reading(uri) as reading:
        for _ in range(ROUNDS):
            process, pipe = start(write_for_ever, uri, kind, first)
            progress = {"begun": first - 1, "done": first - 1}
            for _ in range(rng.randint(1, 5)):
                progress.update([pipe.recv()])
            process.join(rng.uniform(0, 0.08))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            while True:
                try:
                    progress.update([pipe.recv()])
                except EOFError:
                    break
            after = HeadStore.open(uri)
            assert after.verify() == []
            if kind in ("put", "publish", "vacuum"):
                assert max(progress["done"], last) <= generation(after) <= max(progress["begun"], last)
                last = generation(after)
            else:
                assert generation(after) == last
            if kind == "delete":
                gone = [i for i, found in enumerate(after.get(GHOSTS)[0]) if not found]
                assert max(progress["done"] - first + 1, 0) <= len(gone) <= max(progress["begun"] - first + 1, 0)
                after.put(GHOSTS, constant(200, 1.0))
            last, first = progress["begun"] + 1.0, progress["begun"] + 2
            after.put(USERS, constant(40, last))  # the next writer works
            assert generation(HeadStore.open(uri)) == last
    assert reading.error is None
    assert reading.seen == sorted(reading.seen)
    store = HeadStore.open(uri)
    store.vacuum(unpublished=True)
    assert (store.count(), store.verify(), generation(store)) == (240, [], last)


def test_killed_reader_disturbs_no_other(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    store.put(USERS, constant(40, 1.0))
    process, pipe = start(read_for_ever, str(tmp_path / "heads"))
    pipe.recv()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    store.put(USERS, constant(40, 2.0))
    store.vacuum()
    assert (generation(store), store.verify()) == (2.0, [])


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Both succeed; each one's own users hold what it wrote last, the common ones what either wrote last."""
    uri = str(tmp_path / "heads")
    HeadStore.create(uri, SPEC).put(["both always"], constant(1, 1.0))
    children = [start(compete, uri, name, value) for name, value in (("a", 100.0), ("b", 200.0))]
    for _, pipe in children:
        pipe.send("go")
    assert [pipe.recv() for _, pipe in children] == ["done", "done"]
    store = HeadStore.open(uri)
    bias = {u: store.get([u])[1]["out_bias"][0, 0] for u in store.users()}
    assert (bias["a always"], bias["b always"]) == (107.0, 207.0)
    assert bias["both always"] in (107.0, 207.0)
    assert all(bias[f"a{i}"] == 100 + i and bias[f"b{i}"] == 200 + i for i in range(8))
    assert all(bias[f"both{i}"] in (100 + i, 200 + i) for i in range(8))
    assert (len(bias), store.count(), store.verify()) == (27, 27, [])


def test_two_writers_insert_the_same_user(tmp_path: Path) -> None:
    """Lance sees no conflict; the later commit counts at once, and the next vacuum or write removes the other row."""
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    base = store._table
    for value in (1.0, 2.0):  # both from the same version, the second writer killed before it could settle
        base.replace([], base.write(to_table(SPEC, ["new"], constant(1, value))))
    store.refresh()
    assert store.count() == 2
    for _ in range(2):
        assert set(numbers(store.get(["new", "new"])[1])) == {2.0}
        assert (store.users(), [len(store.bucket(b)[0]) for b in range(4)].count(1)) == (["new"], 1)
        store.vacuum()
        assert store.count() == 1
    base = store._table
    base.replace([], base.write(to_table(SPEC, ["other"], constant(1, 1.0))))
    writer.replace_rows(store._connection, base, [["other"]], base.write(to_table(SPEC, ["other"], heads(1))),
                        everything=False)  # fmt: skip
    assert (store.refresh() > base.version, store.count()) == (True, 2)


def test_a_conflict_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    store.put(["a"], heads(1))
    stale = store._table
    store.put(["a"], heads(1, seed=1))
    with pytest.raises(ConflictError):
        stale.replace(None, [])
    monkeypatch.setattr(writer, "_ATTEMPTS", 2)
    monkeypatch.setattr(type(store._connection), "latest", lambda self, table: stale)
    with pytest.raises(UserError, match="other writers were faster 2 times; nothing of this write was published"):
        store.delete(["a"])


def test_disk_full(tmp_path: Path) -> None:
    """A file may not grow beyond a limit: from where nothing can be written to where all but the index can."""
    uri = str(tmp_path / "heads")
    HeadStore.create(uri, SPEC).put(USERS, constant(40, 1.0))
    process, pipe = start(starve, uri, [0, 400, 800, 1200, 1600, 3000])
    outcomes: list[str] = []
    while (outcome := pipe.recv()) is not None:
        outcomes.append(outcome[2])
        store = HeadStore.open(uri)
        assert store.verify() == []
        assert generation(store) in (1.0, 2.0) if store.count() == 40 else store.count() == 39
        store.put(USERS, constant(40, 1.0))
        pipe.send("go")
    process.join()
    full = [line for line in outcomes if line != "done"]
    assert all("the disk is full" in line and "make room" in line and "\n" not in line for line in full), outcomes
    assert sum("is published, but its index" in line for line in full) >= 1, outcomes
    assert len(full) >= 12, outcomes
    assert "done" in outcomes


def test_superseded() -> None:
    import pyarrow as pa

    batches = [pa.record_batch({"user_id": ["a", "b", "a"], "_rowaddr": pa.array([5, 1, 9], pa.uint64())}),
               pa.record_batch({"user_id": ["a", "c"], "_rowaddr": pa.array([7, 2], pa.uint64())})]  # fmt: skip
    assert sorted(writer.superseded(batches).tolist()) == [5, 7]
    assert writer.superseded([]).dtype == np.uint64
    assert writer.addresses(batches).tolist() == [5, 1, 9, 7, 2]
