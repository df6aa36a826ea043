"""What several writers write, published at once."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.made_up import SPEC, USERS, constant, heads, numbers, parts_of


@pytest.fixture(params=["folder", "file", "object store"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, the same as a URL, and Lance's object store in memory: the code path of S3 and the like."""
    urls = {"file": f"file://{tmp_path}/heads", "object store": f"shared-memory://{uuid.uuid4()}/heads"}
    return urls.get(request.param, str(tmp_path / "heads"))


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
