import errno
import os
import threading
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.embeddings import embedding_store
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import SHARDS, shards_of, text_key, text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from tests.store.embeddings.some_embeddings import WIDTH, embeddings_of, files_of, keep

SPEC = EmbeddingSpec("minilm", "mean", 128, "fp32")


TEXTS = [f"text {i}" for i in range(5000)]


def test_a_lookup_keeps_the_order_and_takes_a_text_twice(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    assert keep(store, TEXTS[:3000]) == 3000
    assert keep(store, TEXTS[2000:]) == 3000  # some of them again
    asked = [*TEXTS[::-7], TEXTS[3], TEXTS[3], "text 0"]
    found = store.lookup(asked)
    assert found.dtype == np.float32
    assert np.array_equal(found, embeddings_of(asked))
    assert store.lookup([]).shape == (0, WIDTH)


def test_what_is_missing(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    assert store.width is None
    assert store.missing(["b", "a", "b"]) == ["b", "a"]
    keep(store, ["a", "\ud800"])
    assert store.missing(["b", "a", "\ud800", "c", "b"]) == ["b", "c"]
    with pytest.raises(UserError, match=f"1 of 2 texts have no embedding .first: {text_key('b').hex()}.; run"):
        store.lookup(["a", "b", "a"])


def test_numbers_are_rounded_to_fp16(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    store.append(text_keys(["a"]), np.array([[1 / 3, 1e-3, -2.0001]], np.float32))
    assert store.lookup(["a"]).tolist() == [[float(np.float16(x)) for x in (1 / 3, 1e-3, -2.0001)]]


def test_many_are_written_shard_by_shard_and_only_the_shards_asked_for_are_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(embedding_store, "SPLIT_ROWS", 1000)
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, TEXTS)
    assert [name[:5] for name in files_of(store)] == [f"{shard:02x}-{shard:02x}" for shard in range(SHARDS)]
    keys = text_keys(TEXTS)
    reader = EmbeddingStore(tmp_path, SPEC)
    reader.lookup(TEXTS[:2])
    assert {name[:2] for name in reader._fragments} == {f"{shard:02x}" for shard in shards_of(keys[:2]).tolist()}
    rows = [fragment.rows for fragment in store._of_shards(np.sort(keys))]
    assert rows == np.bincount(shards_of(keys)).tolist()
    assert np.array_equal(store.lookup(TEXTS), embeddings_of(TEXTS))


def test_two_writers_of_the_same_texts_leave_one_file(tmp_path: Path) -> None:
    stores = [EmbeddingStore(tmp_path, SPEC) for _ in range(4)]
    threads = [threading.Thread(target=keep, args=(store, TEXTS)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files_of(stores[0])) == 1
    assert np.array_equal(stores[0].lookup(TEXTS), embeddings_of(TEXTS))


def test_a_store_is_read_while_others_write_to_it(tmp_path: Path) -> None:
    reader, writer = EmbeddingStore(tmp_path, SPEC), EmbeddingStore(tmp_path, SPEC)
    keep(writer, TEXTS[:10])
    failed: list[Exception] = []

    def write() -> None:
        try:
            for start in range(10, 1000, 10):
                keep(writer, TEXTS[start : start + 10])
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        assert np.array_equal(reader.lookup(TEXTS[:10]), embeddings_of(TEXTS[:10]))
    thread.join()
    assert not failed
    assert reader.missing(TEXTS[:1001]) == [TEXTS[1000]]


def test_embeddings_of_another_width_are_not_taken(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, ["a"])
    with pytest.raises(UserError, match="embeddings of 5 numbers do not belong here, the kept ones have 3; remove"):
        store.append(text_keys(["b"]), embeddings_of(["b"], 5))


def test_a_full_disk_is_one_line_and_what_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, ["a"])
    before = files_of(store)

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"disk is full \(No space left on device\) while .* free some space"):
            keep(store, ["b"])
    assert files_of(store) == before
    assert store.missing(["a", "b"]) == ["b"]
    keep(store, ["b"])
    assert np.array_equal(store.lookup(["b", "a"]), embeddings_of(["b", "a"]))


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, ["a"])
    old, new = (store.folder / f"{name}.parquet.1.unfinished" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    store.sweep()
    assert (old.exists(), new.exists()) == (False, True)
    assert store.missing(["a"]) == []
