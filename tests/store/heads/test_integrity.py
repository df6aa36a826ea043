"""Broken files of every kind: a clear error that names the file, or the right heads; never wrong ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.heads.whole_store import current
from tests.store.made_up import SPEC, USERS, heads

FLIPS = 12


def read(folder: Path) -> None:
    """Raises UserError, or AssertionError if it reads what was not written."""
    store = HeadStore.open(str(folder))
    found_N, arrays = store.get(USERS)
    want = np.concatenate([heads(30)["out_weight"], heads(10, seed=1)["out_weight"]])
    want[3] = 0
    assert found_N.tolist() == [i != 3 for i in range(40)]
    assert np.array_equal(arrays["out_weight"], want)
    assert sum(len(store.bucket(bucket)[0]) for bucket in range(4)) == 39


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
