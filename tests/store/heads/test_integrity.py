"""Broken files of every kind: a clear error that names the file, or the right heads; never wrong ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.made_up import SPEC, USERS, heads

FLIPS = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two data files, a deletion file and an up-to-date index; USERS[3] is deleted."""
    folder = tmp_path_factory.mktemp("whole") / "heads"
    store = HeadStore.create(str(folder), SPEC)
    store.put(USERS[:30], heads(30))
    store.put(USERS[30:], heads(10, seed=1))
    store.delete(USERS[3:4])
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "heads")
    return tmp_path / "heads"


def read(folder: Path) -> None:
    """Raises UserError, or AssertionError if it reads what was not written."""
    store = HeadStore.open(str(folder))
    found_N, arrays = store.get(USERS)
    want = np.concatenate([heads(30)["out_weight"], heads(10, seed=1)["out_weight"]])
    want[3] = 0
    assert found_N.tolist() == [i != 3 for i in range(40)]
    assert np.array_equal(arrays["out_weight"], want)
    assert sum(len(store.bucket(bucket)[0]) for bucket in range(4)) == 39


def current(folder: Path, kind: str) -> list[Path]:
    """The files of the last version, of a kind."""
    store = HeadStore.open(str(folder))
    tracked = store._table.dataset.tracked_files(min_version=store.version).read_all().to_pylist()
    return [folder / row["path"] for row in tracked if row["type"] == kind]


KINDS = ("manifest", "data file", "deletion file", "index file")


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes(folder: Path, kind: str) -> None:
    refused = 0
    for file in current(folder, kind):
        raw = file.read_bytes()
        for at in np.random.default_rng(0).choice(len(raw), FLIPS, replace=False):
            file.write_bytes(raw[:at] + bytes([raw[at] ^ 0x5A]) + raw[at + 1 :])
            try:
                read(folder)
            except UserError as error:
                refused += 1
                assert file.name in str(error)  # noqa: PT017
        file.write_bytes(raw)
    assert refused >= FLIPS / 2  # a data file has bytes that are never read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoil", [lambda raw: raw[:-1], lambda raw: raw[: len(raw) // 2], lambda raw: b"", None])
def test_truncated_or_missing(folder: Path, kind: str, spoil: Callable[[bytes], bytes] | None) -> None:
    for file in current(folder, kind):
        raw = file.read_bytes()
        file.unlink()
        if spoil is not None:
            file.write_bytes(spoil(raw))
        with pytest.raises(UserError, match=file.name):
            read(folder)
        file.write_bytes(raw)
    read(folder)


def test_verify_names_every_bad_shard_and_a_new_fit_heals(folder: Path) -> None:
    gone, flipped = current(folder, "data file")
    gone.unlink()
    raw = flipped.read_bytes()
    at = raw.index(heads(10, seed=1)["out_weight"][4].tobytes()[:16]) if len(raw) < 3000 else 200
    flipped.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    store = HeadStore.open(str(folder))
    faults = {fault.file: fault for fault in store.verify()}
    assert set(faults) == {f"data/{gone.name}", f"data/{flipped.name}"}
    assert faults[f"data/{gone.name}"].buckets == (0, 1, 2, 3)
    assert len(faults[f"data/{flipped.name}"].buckets) == 1
    with pytest.raises(UserError, match=r"bucket.* 0.*put the file back, or fit the users of the bucket again"):
        store.bucket(0)
    store.put(USERS, heads(40, seed=5))
    assert store.verify() == []
    assert np.array_equal(store.get(USERS)[1]["out_bias"], heads(40, seed=5)["out_bias"])


def test_an_untouched_bucket_is_still_read(tmp_path: Path) -> None:
    from tests.store.made_up import parts_of

    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    parts = parts_of(store, USERS, 1.0)
    store.publish(parts, replace=True)
    (tmp_path / "heads" / "data" / parts[0]["fragments"][0]["files"][0]["path"]).unlink()
    reader = HeadStore.open(str(tmp_path / "heads"))
    for part in parts[1:]:
        assert len(reader.bucket(part["bucket"])[0]) == part["users"]
    with pytest.raises(UserError, match=f"bucket {parts[0]['bucket']}: data/"):
        reader.bucket(parts[0]["bucket"])


def test_a_broken_index_is_built_anew(folder: Path) -> None:
    for file in current(folder, "index file"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"nothing is lost: rebuild the index with .*reindex\(\)"):
        HeadStore.open(str(folder))
    HeadStore.open(str(folder), check=False).reindex()
    read(folder)


def test_back_to_the_version_before(folder: Path) -> None:
    (manifest,) = current(folder, "manifest")
    version = HeadStore.open(str(folder)).version
    manifest.write_bytes(b"")
    with pytest.raises(UserError, match=f"version {version} cannot be opened: _versions/{manifest.name}"):
        HeadStore.open(str(folder))
    assert HeadStore.open(str(folder), version - 1).version == version - 1
    manifest.unlink()
    with pytest.raises(UserError, match=rf"the manifest of version {version} .* is missing"):
        HeadStore.open(str(folder))
    (folder / "_seals" / f"{version}.json").unlink()
    assert HeadStore.open(str(folder)).version == version - 1


def test_a_version_without_seal_is_read(folder: Path) -> None:
    shutil.rmtree(folder / "_seals")
    read(folder)
    store = HeadStore.open(str(folder))
    store.put(["next"], heads(1))
    assert (folder / "_seals" / f"{store.version}.json").exists()
