"""The two passes of an ingest: files to partitions, a partition to users."""

import functools
from pathlib import Path

import pytest

import hydra_ray.data.passes as passes
import hydra_ray.data.users_writer as users_writer
from hydra_ray.config import DataConfig, TabularConfig
from hydra_ray.data.reader import read_users
from hydra_ray.data.sources.find import find_sources
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.data.spill import SpillWriter, read_partition
from tests.data.files import RATING, golds, ingest_pure, item, lamp_root, question

IDS = [f"u{i}" for i in range(60)]


def make_root(root: Path) -> Path:
    train = [question(u, [item(f"{u}-{n}", f"text {n}") for n in range(3)], user_id=u) for u in IDS[:40]]
    dev = [question(u, [item(f"{u}-0")], user_id=u) for u in IDS[40:]]
    return lamp_root(root, train, golds(dict.fromkeys(IDS[:40], "5")), dev, golds(dict.fromkeys(IDS[40:], "4")))


@pytest.mark.parametrize("partitions", [1, 3, 4])
def test_the_result_does_not_depend_on_partitions_or_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    root = make_root(tmp_path)
    whole = ingest_pure(root, RATING, tmp_path / "whole", buckets=4)
    monkeypatch.setattr(passes, "GROUP_BYTES", 500)
    monkeypatch.setattr(users_writer, "GROUP_BYTES", 300)
    split = ingest_pure(root, RATING, tmp_path / "split", partitions, buckets=4)
    assert split.users == whole.users
    assert split.counts == whole.counts
    assert not list((tmp_path / "split" / "spill").glob("split-*"))
    assert {u.user_id for u in read_users(tmp_path / "split", "test")} == set(IDS[40:])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    ingest_pure(make_root(tmp_path), RATING, tmp_path / "out", buckets=4)
    return tmp_path / "out"


def test_tallies_of_one_reader_add_up_to_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SpillWriter", functools.partial(SpillWriter, flush_bytes=600))
    root = make_root(tmp_path)
    sources = find_sources(DataConfig(source="lamp", root=str(root)), root)
    plan = passes.Plan(SourceReader(RATING, TabularConfig()), tuple(sources), tmp_path / "out", 4, 2)
    tallies = list(passes.spill_sources(plan, "one", sources))
    assert len(tallies) > 5
    assert all(tally["bytes"] >= 0 for tally in tallies)
    assert sum(tally["bytes"] for tally in tallies) == sum(source.bytes for source in sources)
    rows = [row for partition in range(2) for row in read_partition(plan.spill, partition)]
    assert sum(len(row.payload) for row in rows) == sum(t["partition/0"] + t["partition/1"] for t in tallies)
