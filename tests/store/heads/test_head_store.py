import http.server
import json
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.rows import Arrays
from hydra_ray.store.heads.spec import HeadSpec
from tests.store.made_up import SPEC, USERS, constant, heads, numbers, parts_of


@pytest.fixture(params=["folder", "file", "object store"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, the same as a URL, and Lance's object store in memory: the code path of S3 and the like."""
    urls = {"file": f"file://{tmp_path}/heads", "object store": f"shared-memory://{uuid.uuid4()}/heads"}
    return urls.get(request.param, str(tmp_path / "heads"))


def same(got: Arrays, want: Arrays) -> bool:
    return all(np.array_equal(got[name], want[name]) for name in want)


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


def test_publish_parts_of_many_writers(uri: str) -> None:
    store = HeadStore.create(uri, SPEC)
    store.put(["before", USERS[0]], constant(2, 1.0))
    parts = json.loads(json.dumps(parts_of(HeadStore.open(uri), USERS, 2.0)))
    assert HeadStore.open(uri).users() == sorted(["before", USERS[0]])  # written, not published
    store.publish(parts, replace=False)
    assert store.users() == sorted(["before", *USERS])
    assert set(numbers(store.get(USERS)[1])) == {2.0}
    assert set(numbers(store.get(["before"])[1])) == {1.0}
    store.publish(parts_of(store, USERS[:5], 3.0), replace=True)
    assert store.users() == sorted(USERS[:5])
    assert store.verify() == []


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


def test_vacuum_and_unpublished_parts(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    store.put(USERS[:1], heads(1))
    parts = parts_of(store, USERS, 2.0)
    store.vacuum()
    store.publish(parts, replace=False)
    assert store.count() == 40
    parts, version = parts_of(store, USERS, 3.0), store.vacuum(unpublished=True)
    with pytest.raises(UserError, match=r"the part of bucket \d cannot be read: data/.*nothing was published"):
        store.publish(parts, replace=False)
    assert (store.refresh(), set(numbers(store.get(USERS)[1]))) == (version, {2.0})


ODD = [
    "",
    "'",
    "''; DROP",
    '"',
    "a\\'b",
    "\n",
    "a\x00b",
    "%",
    "_",
    "ä",
    "a\u0308",
    "𝔘",
    "用户",
    " ",
    "null",
    "x" * 5000,
]


@settings(max_examples=15)
@given(users=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=20))
def test_any_text_is_a_user_id(users: list[str]) -> None:
    users = list(dict.fromkeys([*users, *ODD[1:]]))
    store = HeadStore.create(f"shared-memory://{uuid.uuid4()}/heads", SPEC)
    store.put(users, heads(len(users)))
    found_N, arrays = store.get(users)
    assert found_N.all()
    assert same(arrays, heads(len(users)))
    store.delete(users[:3])
    assert store.users() == sorted(users[3:])


def test_many_ids_in_one_get(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    store.put(USERS, heads(40))
    found_N, _ = store.get([*(f"nobody{i}" for i in range(100_000)), *USERS])
    assert np.flatnonzero(found_N).tolist() == list(range(100_000, 100_040))


def test_float16(tmp_path: Path) -> None:
    spec = replace(SPEC, dtype="float16")
    store = HeadStore.create(str(tmp_path / "heads"), spec)
    store.put(USERS, heads(40))
    got = HeadStore.open(str(tmp_path / "heads"), expect=SPEC).get(USERS)[1]
    assert got["out_weight"].dtype == np.float32
    np.testing.assert_allclose(got["out_weight"], heads(40)["out_weight"], rtol=2**-11, atol=3e-8)
    with pytest.raises(UserError, match=r"head of user 'big' holds .* too large for float16"):
        store.put(["big"], constant(1, 70_000.0))


def test_wide_heads_come_in_small_batches(tmp_path: Path) -> None:
    spec = HeadSpec("dense", 512, 0, {"dense_weight": (512, 512), "out_bias": (2,)}, "base-1", 2)
    store = HeadStore.create(str(tmp_path / "heads"), spec)
    store.put(USERS[:3], heads(3, spec=spec))
    assert same(store.get(USERS[:3])[1], heads(3, spec=spec))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(tmp_path: Path, bad: float) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    arrays = heads(3)
    arrays["out_weight"][1, 2, 0] = bad
    with pytest.raises(UserError, match="head of user 'user1' holds NaN, infinity"):
        store.put(USERS[:3], arrays)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("users", "message"),
    [(["a", "b", "a"], "'a' is given twice"), (["a", "", "b"], "'' is no user id and belongs to no bucket"),
     (["a", "\ud800", "b"], "no user id"), (["a", None, "b"], "None is no user id")],
)  # fmt: skip
def test_users_in_no_bucket(tmp_path: Path, users: list[str], message: str) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match=message):
        store.put(users, heads(3))


def test_other_buckets_and_arrays(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match="has no bucket 4: it has 4, from 0"):
        store.bucket(4)
    own = bucket_of("a", 4)
    with pytest.raises(UserError, match=f"'a' belongs to bucket {own} of 4, not to {(own + 1) % 4}"):
        store.stage_heads((own + 1) % 4, ["a"], heads(1))
    with pytest.raises(UserError, match=r"takes the arrays \['out_bias', 'out_weight'\], got \['up'\]"):
        store.put(["a"], {"up": np.zeros((1, 2), np.float32)})
    with pytest.raises(UserError, match=r"out_weight has the shape \(2, 8, 2\), \(1, 8, 2\) is needed"):
        store.put(["a"], heads(2))


def test_parts_that_do_not_belong(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    other = HeadStore.create(str(tmp_path / "other"), replace(SPEC, base="base-2"))
    with pytest.raises(UserError, match="was written for another store"):
        store.publish(parts_of(other, USERS, 1.0), replace=False)
    parts = parts_of(store, ["a"], 1.0)
    with pytest.raises(UserError, match="'a' is in two parts"):
        store.publish([*parts, *parts_of(store, ["a"], 2.0)], replace=False)
    with pytest.raises(UserError, match="does not hold the users it says"):
        store.publish([{**parts[0], "bucket": (parts[0]["bucket"] + 1) % 4}], replace=False)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"base": "base-2"}, "another base: 'base-1' where 'base-2'"),
     ({"kind": "bayesian_linear"}, "another head kind: 'linear'"),
     ({"width": 9}, "another width: 8 where 9"), ({"rank": 2}, "another rank"), ({"buckets": 8}, "another buckets")],
)  # fmt: skip
def test_store_of_another_model(tmp_path: Path, change: dict[str, object], message: str) -> None:
    HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match=message):
        HeadStore.open(str(tmp_path / "heads"), expect=replace(SPEC, **change))


def test_no_store_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no head store there"):
        HeadStore.open(str(tmp_path))
    with pytest.raises(UserError, match="No object store provider found for scheme: 'nosuch'"):
        HeadStore.open("nosuch://bucket/heads")
    HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match="already exists"):
        HeadStore.create(str(tmp_path / "heads"), SPEC)


class Recorder(http.server.BaseHTTPRequestHandler):
    """An object store without objects that keeps what it was asked."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(f"{self.path} {self.headers['Authorization']}")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<ListBucketResult></ListBucketResult>")

    def log_message(self, *args: object) -> None:
        pass


def test_uri_and_options_reach_the_object_store() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        options = {"aws_endpoint": f"http://127.0.0.1:{server.server_port}", "allow_http": "true", "aws_region": "here",
                   "aws_access_key_id": "key-1", "aws_secret_access_key": "x", "client_max_retries": "0"}  # fmt: skip
        with pytest.raises(UserError, match="s3://box/heads: no head store there"):
            HeadStore.open("s3://box/heads", options=options)
        server.shutdown()
    assert any("box" in line and "heads" in line and "Credential=key-1/" in line for line in Recorder.requests)
