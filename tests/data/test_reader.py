"""Reading back, partitions that are split, sampling."""

import functools
from pathlib import Path

import pytest

import hydra_ray.data.passes as passes
import hydra_ray.data.users_writer as users_writer
from hydra_ray.config import DataConfig, TabularConfig
from hydra_ray.core.sampling import UserSample, cross_fit, sample_users
from hydra_ray.core.types import HistoryItem, Split
from hydra_ray.data.reader import list_users, read_counts, read_users
from hydra_ray.data.rows import SourceQuestion, SourceRow
from hydra_ray.data.sources.find import find_sources
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.data.spill import SpillWriter, pack, read_partition
from hydra_ray.errors import UserError
from tests.data.files import RATING, golds, ingest_pure, item, lamp_root, question

IDS = [f"u{i}" for i in range(60)]


def make_root(root: Path) -> Path:
    train = [question(u, [item(f"{u}-{n}", f"text {n}") for n in range(3)], user_id=u) for u in IDS[:40]]
    dev = [question(u, [item(f"{u}-0")], user_id=u) for u in IDS[40:]]
    return lamp_root(root, train, golds(dict.fromkeys(IDS[:40], "5")), dev, golds(dict.fromkeys(IDS[40:], "4")))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    ingest_pure(make_root(tmp_path), RATING, tmp_path / "out", buckets=4)
    return tmp_path / "out"


def test_users_by_split_and_by_id(out: Path) -> None:
    assert {u.user_id for u in read_users(out)} == set(IDS)
    assert {u.user_id for u in read_users(out, "test")} == set(IDS[40:])
    assert {u.user_id for u in read_users(out, "train", ["u3", "u50", "nobody"])} == {"u3"}
    assert {u.user_id for u in read_users(out, user_ids={"u3", "u50"})} == {"u3", "u50"}
    assert list(read_users(out, user_ids=[])) == []
    assert [u.user_id for u in read_users(out)] == [u.user_id for u in read_users(out)]


def test_listing_has_the_lengths(out: Path) -> None:
    table = list_users(out)
    assert table.column_names == ["user_id", "split", "n_items", "n_questions"]
    rows = {row["user_id"]: row for row in table.to_pylist()}
    assert set(rows) == set(IDS)
    assert rows["u3"] == {"user_id": "u3", "split": "train", "n_items": 3, "n_questions": 1}
    assert rows["u50"]["n_items"] == 1


def test_a_question_without_a_gold_answer_is_listed_as_it_is_answered(tmp_path: Path) -> None:
    ingest_pure(lamp_root(tmp_path, dev_golds=False), RATING, tmp_path / "out")
    rows = {row["split"]: row["n_questions"] for row in list_users(tmp_path / "out").to_pylist()}
    assert rows == {"train": 1, "test": 1}


def test_one_file_a_bucket(out: Path) -> None:
    names = sorted(str(path.relative_to(out)) for path in (out / "users").rglob("*.parquet"))
    assert names == [f"users/bucket={b:05d}/part-0.parquet" for b in range(4)]


def test_not_an_ingested_folder(tmp_path: Path) -> None:
    for read in (read_counts, list_users, lambda d: list(read_users(d))):
        with pytest.raises(UserError) as caught:
            read(tmp_path)
        assert str(caught.value) == f"{tmp_path}: no ingested data set (no counts.json): run the ingest step first"


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


def test_spilled_rows_come_back(tmp_path: Path) -> None:
    items = (HistoryItem("1", "t\n ü", "t\n ü", "", ""), HistoryItem("2", "a", "b a", "5", "2020-01-01"))
    rows = [
        SourceRow(
            f"u{n}", "train", 0, n, items, (SourceQuestion("q", "x", None), SourceQuestion("r", "y", "5", "2020-01-01"))
        )
        for n in range(7)
    ]
    with SpillWriter(tmp_path, "w", flush_bytes=600) as spill:
        full = [spill.add(n % 2, pack(row, n)) for n, row in enumerate(rows)]
    assert any(full)
    back = [row for partition in range(2) for row in read_partition(tmp_path, partition)]
    assert sorted((row.unpack() for row in back), key=lambda row: row.position) == rows
    assert sorted(row.bucket for row in back) == list(range(7))


def test_sampling_depends_on_seed_and_ids_alone() -> None:
    some = sample_users({"train": IDS[:40], "test": IDS[40:]}, 1, 10, 5)
    assert some == sample_users({"test": reversed(IDS[40:]), "train": set(IDS[:40])}, 1, 10, 5)
    assert (len(some.train), len(some.test)) == (10, 5)
    assert sample_users({"train": IDS[:40], "test": IDS[40:]}, 2, 10, 5) != some
    more = sample_users({"train": IDS[:40], "test": IDS[40:]}, 1, 20, None)
    assert more.train[:10] == some.train
    assert sorted(more.test) == sorted(IDS[40:])


def test_sampling_is_disjoint_and_gives_what_there_is() -> None:
    drawn = sample_users({"train": IDS, "test": IDS}, 0, 45, 100)
    assert not set(drawn.train) & set(drawn.test)
    assert (len(drawn.train), len(drawn.test)) == (45, 15)
    assert sample_users({"train": []}, 0, 5, 5) == UserSample((), (), {})


def test_folds_test_every_user_of_both_splits_once_and_train_on_all_the_others() -> None:
    ids: dict[Split, list[str]] = {"train": IDS[:40], "test": IDS[35:]}
    folds = [cross_fit(ids, 3, 7, fold) for fold in range(7)]
    assert sorted(user for fold in folds for user in fold.test) == sorted(IDS)
    assert {len(fold.test) for fold in folds} == {8, 9}
    for fold in folds:
        assert sorted(fold.train + fold.test) == sorted(IDS)
    # A user of both splits is the test split's, whose question is the newer one.
    assert folds[0].source == {**dict.fromkeys(IDS[:35], "train"), **dict.fromkeys(IDS[35:], "test")}
    assert cross_fit({"test": set(IDS[35:]), "train": IDS[:40][::-1]}, 3, 7, 2) == folds[2]
    assert cross_fit(ids, 4, 7, 2).test != folds[2].test


def test_folds_of_fewer_users_are_folds_of_those_drawn_first() -> None:
    few = [cross_fit({"test": IDS}, 0, 3, fold, users=10) for fold in range(3)]
    assert [len(fold.test) for fold in few] == [4, 3, 3]
    more = [cross_fit({"test": IDS}, 0, 3, fold, users=20) for fold in range(3)]
    assert all(set(a.test) < set(b.test) for a, b in zip(few, more, strict=True))
    assert cross_fit({"test": IDS[:1]}, 0, 2, 1).test == ()
