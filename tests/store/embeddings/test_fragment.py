"""Fragments: whole, of the store's own embeddings, of finite numbers."""

from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import SHARDS, hex_of, text_key, text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from tests.store.embeddings.some_embeddings import WIDTH, embeddings_of, files_of, keep

SPEC = EmbeddingSpec("minilm", "mean", 128, "fp32")


TEXTS = [f"text {i}" for i in range(5000)]


def test_only_row_groups_with_a_wanted_key_are_read(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, SPEC)
    keep(store, TEXTS)
    keys = np.sort(text_keys(TEXTS))
    (fragment,) = store._of_shards(keys)
    read = list(fragment.read(keys[[0, 5, 4999]]))  # of the first and the last of three row groups
    assert [places.tolist() for places, _ in read] == [[0, 1], [2]]


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
