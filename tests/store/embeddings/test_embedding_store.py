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
from hydra_ray.store.embeddings.keys import SHARDS, hex_of, shards_of, text_key, text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec

SPEC = EmbeddingSpec("minilm", "mean", 128, "fp32")
WIDTH = 3


def embeddings_of(texts: list[str], width: int = WIDTH) -> np.ndarray:
    """Numbers that fp16 holds exactly, other ones for every text."""
    raw = np.frombuffer(b"".join(text_key(text)[:width] for text in texts), dtype=np.uint8)
    return raw.reshape(len(texts), width).astype(np.float32)


def keep(store: EmbeddingStore, texts: list[str]) -> int:
    return store.append(text_keys(texts), embeddings_of(texts))


def files_of(store: EmbeddingStore) -> list[str]:
    return sorted(os.listdir(store.folder))


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


def test_another_encoder_pooling_length_or_precision_has_a_folder_of_its_own(tmp_path: Path) -> None:
    specs = [
        SPEC,
        EmbeddingSpec("other", "mean", 128, "fp32"),
        EmbeddingSpec("minilm", "cls", 128, "fp32"),
        EmbeddingSpec("minilm", "mean", 64, "fp32"),
        EmbeddingSpec("minilm", "mean", 128, "bf16"),
    ]
    keep(EmbeddingStore(tmp_path, SPEC), ["a"])
    assert [EmbeddingStore(tmp_path, spec).missing(["a"]) for spec in specs] == [[], *[["a"]] * 4]


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


def test_only_row_groups_with_a_wanted_key_are_read(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, TEXTS)
    keys = np.sort(text_keys(TEXTS))
    (fragment,) = store._of_shards(keys)
    read = list(fragment.read(keys[[0, 5, 4999]]))  # of the first and the last of three row groups
    assert [places.tolist() for places, _ in read] == [[0, 1], [2]]


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


@pytest.mark.parametrize(
    ("spec", "width", "reason"),
    [
        (EmbeddingSpec("other", "mean", 128, "fp32"), WIDTH, "its encoder is other, here it is minilm"),
        (EmbeddingSpec("minilm", "mean", 128, "bf16"), WIDTH, "its precision is bf16, here it is fp32"),
        (SPEC, 5, "its width is 5, here it is 3"),
    ],
)
def test_a_fragment_of_other_embeddings_is_refused(
    tmp_path: Path, spec: EmbeddingSpec, width: int, reason: str
) -> None:
    store, other = EmbeddingStore(tmp_path / "a", SPEC), EmbeddingStore(tmp_path / "b", spec)
    keep(store, ["a"])
    other.append(text_keys(["b"]), embeddings_of(["b"], width))
    moved = store.folder / f"{files_of(store)[0][:2]}-{SHARDS - 1:02x}-of-another.parquet"  # read after the store's own
    (other.folder / files_of(other)[0]).rename(moved)
    for reader in (store, EmbeddingStore(tmp_path / "a", SPEC)):
        with pytest.raises(UserError) as error:
            reader.lookup(["a"])
        assert str(error.value) == f"{moved}: a fragment of other embeddings ({reason}); move it out of this folder"


def test_embeddings_of_another_width_are_not_taken(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, ["a"])
    with pytest.raises(UserError, match="embeddings of 5 numbers do not belong here, the kept ones have 3; remove"):
        store.append(text_keys(["b"]), embeddings_of(["b"], 5))


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "no parquet"])
def test_a_damaged_fragment_is_named(tmp_path: Path, damage: str) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, TEXTS)
    file = store.folder / files_of(store)[0]
    whole = file.read_bytes()
    # The first row group's embeddings follow its keys.
    flipped = bytearray(whole)
    flipped[16 * 2048 + 3000] ^= 255
    new = {"torn": whole[: len(whole) // 2], "flipped": bytes(flipped), "empty": b"", "no parquet": b"x" * 5000}
    file.write_bytes(new[damage])
    with pytest.raises(UserError) as error:
        EmbeddingStore(tmp_path, SPEC).lookup(TEXTS)
    assert str(error.value).startswith(f"{file}: a damaged fragment of embeddings (")
    assert str(error.value).endswith("; remove it, and its texts are encoded again")
    file.unlink()
    assert EmbeddingStore(tmp_path, SPEC).missing(TEXTS) == TEXTS


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


def test_numbers_that_cannot_be_kept_name_the_text_by_its_hash(tmp_path: Path) -> None:
    keys, named = text_keys(["a", "b"]), text_key("b").hex()
    assert hex_of(keys, 1) == named
    rough = EmbeddingStore(tmp_path, EmbeddingSpec("minilm", "mean", 128, "bf16"))
    with pytest.raises(UserError, match=f"the text {named} is not finite .precision bf16.; set model.precision=fp32"):
        rough.append(keys, np.array([[0.0], [np.nan]]))
    exact = EmbeddingStore(tmp_path, SPEC)
    with pytest.raises(UserError, match=f"of the text {named} is not finite .precision fp32.; check model.encoder"):
        exact.append(keys, np.array([[0.0], [np.inf]]))
    with pytest.raises(UserError, match=f"of the text {named} is larger than fp16 holds"):
        exact.append(keys, np.array([[0.0], [70_000.0]]))
    assert not exact.folder.exists()


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
