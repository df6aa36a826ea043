import uuid
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from tests.store.heads.some_heads import same
from tests.store.made_up import SPEC, USERS, heads, numbers


@pytest.fixture(params=["folder", "file", "object store"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, the same as a URL, and Lance's object store in memory: the code path of S3 and the like."""
    urls = {"file": f"file://{tmp_path}/heads", "object store": f"shared-memory://{uuid.uuid4()}/heads"}
    return urls.get(request.param, str(tmp_path / "heads"))


def test_round_trip(uri: str) -> None:
    store = HeadStore.create(uri, SPEC)
    assert (store.count(), store.users(), store.get(["nobody"])[0].tolist()) == (0, [], [False])
    store.put(USERS, heads(40))
    other = HeadStore.open(uri, expect=SPEC)
    found_N, arrays = other.get([USERS[7], "nobody", USERS[3], USERS[7]])
    assert found_N.tolist() == [True, False, True, True]
    assert same({name: array[[0, 2, 3]] for name, array in arrays.items()},
                {name: array[[7, 3, 7]] for name, array in heads(40).items()})  # fmt: skip
    assert not numbers({name: array[1] for name, array in arrays.items()}).any()
    assert {name: array.dtype for name, array in arrays.items()} == {"out_weight": np.float32, "out_bias": np.float32}
    users, arrays = other.bucket(2)
    assert users == other.users(2) == sorted(user for user in USERS if bucket_of(user, 4) == 2)
    assert same(arrays, {name: array[[USERS.index(u) for u in users]] for name, array in heads(40).items()})
    assert sorted(user for bucket in range(4) for user in other.bucket(bucket)[0]) == other.users() == sorted(USERS)
    assert other.verify() == []


def test_upsert_delete_versions(uri: str) -> None:
    store = HeadStore.create(uri, SPEC)
    first = store.put(USERS[:3], heads(3))
    reader = HeadStore.open(uri)
    second = store.put([USERS[1], "new"], heads(2, seed=1))
    assert store.get([USERS[0], USERS[1], "new"])[1]["out_bias"].tolist() == [
        heads(3)["out_bias"][0].tolist(),
        *heads(2, seed=1)["out_bias"].tolist(),
    ]
    third = store.delete([USERS[0], "unknown"])
    assert first < second < third == store.version
    assert (store.count(), store.get([USERS[0]])[0].tolist()) == (3, [False])
    assert store.delete(["unknown"]) == third  # nothing to do, no version
    assert (reader.version, reader.count(), reader.get(["new"])[0].tolist()) == (first, 3, [False])
    assert (reader.refresh(), reader.count()) == (third, 3)
    old = HeadStore.open(uri, first)
    assert old.refresh() == first
    assert same(old.get(USERS[:3])[1], heads(3))
    assert {first, second, third} <= set(store.versions())
    with pytest.raises(UserError, match=r"no version 99 \(it has 1 to"):
        HeadStore.open(uri, 99)


def test_vacuum_leaves_no_byte_of_a_deleted_user(tmp_path: Path) -> None:
    uri = str(tmp_path / "heads")
    store = HeadStore.create(uri, SPEC)
    store.put(USERS, heads(40))
    store.put(["to be forgotten 1234567"], heads(1, seed=7))
    old = HeadStore.open(uri)
    pinned = HeadStore.open(uri, old.version)
    store.put(USERS[:2], heads(2, seed=3))
    store.delete(["to be forgotten 1234567"])
    traces = [b"to be forgotten", heads(1, seed=7)["out_weight"].tobytes()[:24]]
    assert all(any(trace in file.read_bytes() for file in (tmp_path / "heads").rglob("*.lance")) for trace in traces)
    last = store.vacuum()
    assert store.versions() == [last]
    assert not any(trace in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() for trace in traces)
    assert (store.count(), store.verify()) == (40, [])
    assert old.get(["to be forgotten 1234567"])[0].tolist() == [False]  # moved on: its version is gone
    with pytest.raises(UserError, match="vacuum removed it; open the latest"):
        pinned.get(USERS)


def test_many_ids_in_one_get(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    store.put(USERS, heads(40))
    found_N, _ = store.get([*(f"nobody{i}" for i in range(100_000)), *USERS])
    assert np.flatnonzero(found_N).tolist() == list(range(100_000, 100_040))


def test_wide_heads_come_in_small_batches(tmp_path: Path) -> None:
    spec = HeadSpec("dense", 512, 0, {"dense_weight": (512, 512), "out_bias": (2,)}, "base-1", 2)
    store = HeadStore.create(str(tmp_path / "heads"), spec)
    store.put(USERS[:3], heads(3, spec=spec))
    assert same(store.get(USERS[:3])[1], heads(3, spec=spec))
