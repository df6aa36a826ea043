"""Answers in an archive: what is paid for on one machine is in the cache of the next."""

from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.llm import archived_answers
from hydra_ray.llm.archived_answers import ArchivedAnswers
from hydra_ray.llm.response_cache import CallOutcome, Counts, ResponseCache
from hydra_ray.llm.types import CachedResponse
from hydra_ray.store.archive.object_store import ObjectStore


class Machine:
    """A response cache of its own, and the archive that all share."""

    def __init__(self, folder: Path, run: str = "r", max_calls: int | None = None) -> None:
        self.url = f"file://{folder.parent}/archive"
        self.cache = ResponseCache(folder / "llm.sqlite", run, max_calls=max_calls, archive=self.url)
        self.store = ObjectStore(self.url)
        self.archived = ArchivedAnswers(self.cache, self.store)

    def answer(self, *keys: str) -> None:
        for key in keys:
            (granted,) = self.cache.exchange([], [0.5])
            self.cache.exchange([CallOutcome(granted, key, record(key), calls=1, cost=0.25)])

    def files(self) -> list[str]:
        return [name for name in self.store.sizes("answers") if name.endswith(".parquet")]


def record(key: str) -> CachedResponse:
    return {"texts": [f"answer to {key}"], "prompt_tokens": 5, "completion_tokens": 2}


def test_answers_and_what_was_used_reach_the_next_machine(tmp_path: Path) -> None:
    one, other = Machine(tmp_path / "one"), Machine(tmp_path / "other", max_calls=4)
    one.answer("a", "b")
    one.cache.exchange([], [0.5])  # in flight when it is saved: it may be billed
    one.archived.save()
    assert other.archived.restore() == 2
    assert other.cache.get_many(["a", "b", "c"]) == [record("a"), record("b"), None]
    counts = other.cache.counts()
    assert (counts.calls, counts.cost, counts.prompt_tokens, counts.lost) == (3, 1.0, 10, 0)
    assert other.cache.exchange([], [0.5])[0] > 0
    assert other.archived.restore() == 0


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    machine.archived.save()
    assert machine.files() == []
    machine.answer("a")
    machine.archived.save()
    machine.archived.save()
    assert len(machine.files()) == 1
    machine.answer("b")
    machine.archived.save()
    assert len(machine.files()) == 2
    machine.cache.close()
    again = Machine(tmp_path / "one")
    assert again.archived.restore() == 0
    assert again.cache.unsaved(10) == []


def test_an_archive_that_is_new_to_a_cache_gets_all_of_it(tmp_path: Path) -> None:
    before = ResponseCache(tmp_path / "one" / "llm.sqlite", "r")
    (granted,) = before.exchange([], [0.0])
    before.exchange([CallOutcome(granted, "a", record("a"), calls=1)])
    before.close()
    Machine(tmp_path / "one").archived.save()
    other = Machine(tmp_path / "other")
    other.archived.restore()
    assert other.cache.get_many(["a"]) == [record("a")]


def test_two_machines_write_at_the_same_time(tmp_path: Path) -> None:
    one, other = Machine(tmp_path / "one"), Machine(tmp_path / "other", run="another")
    one.answer("a")
    other.answer("b")
    one.archived.save()
    other.archived.save()
    third = Machine(tmp_path / "third")
    assert third.archived.restore() == 2
    assert third.cache.counts().calls == 1  # of its run alone


def test_many_files_become_one_and_who_has_listed_them_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archived_answers, "MANY_FILES", 3)
    one, slow = Machine(tmp_path / "one"), Machine(tmp_path / "slow")
    for key in "abcde":
        one.answer(key)
        one.archived.save()
    assert len(one.files()) == 5
    read = slow.store.read

    def overtaken(name: str) -> bytes | None:
        monkeypatch.setattr(slow.store, "read", read)
        Machine(tmp_path / "quick").archived.restore()
        return read(name)

    monkeypatch.setattr(slow.store, "read", overtaken)
    assert slow.archived.restore() == 5
    assert len(one.files()) == 1
    assert Machine(tmp_path / "last").archived.restore() == 5


def test_what_the_archive_refuses_stays_to_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path / "one")
    machine.answer("a")

    def refused(name: str, content: bytes) -> None:
        raise UserError("archive: no")

    with monkeypatch.context() as patch:
        patch.setattr(machine.store, "write", refused)
        with pytest.raises(UserError):
            machine.archived.save()
    machine.archived.save()
    assert Machine(tmp_path / "other").archived.restore() == 1


def test_counts_are_never_lowered(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    machine.answer("a", "b")
    machine.cache.count_at_least(Counts(calls=1, failed=7))
    counts = machine.cache.counts()
    assert (counts.calls, counts.failed, counts.prompt_tokens) == (2, 7, 10)
