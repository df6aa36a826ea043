from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models import text_embeddings as subject
from hydra_ray.models.text_embeddings import (
    BatchEncode,
    RememberedEmbeddings,
    StoredEmbeddings,
    text_embeddings,
)
from hydra_ray.store.embeddings.keys import text_key


def numbers_of(text: str) -> list[float]:
    return [len(text) / 3, ord(text[-1])]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each call of the encoder."""
    calls: list[list[str]] = []

    def encode(_: object, texts: list[str]) -> np.ndarray:
        if texts:
            calls.append(list(texts))
        return np.array([numbers_of(text) for text in texts], np.float32).reshape(len(texts), 2)

    monkeypatch.setattr(subject, "encode_texts", encode)
    return calls


def stored(root: Path) -> StoredEmbeddings:
    return StoredEmbeddings(ModelConfig(), root, encoder=SimpleNamespace(width=2))  # type: ignore[arg-type]


def halved(texts: list[str]) -> list[list[float]]:
    return np.array([numbers_of(t) for t in texts], np.float16).astype(np.float32).tolist()


class Scans:
    """How many texts each scan of a store was asked for."""

    def __init__(self, embeddings: StoredEmbeddings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        real = embeddings.store.read

        def read(keys: Any) -> Any:
            if len(keys):
                self.sizes.append(len(keys))
            return real(keys)

        monkeypatch.setattr(embeddings.store, "read", read)


def test_what_was_encoded_is_kept_for_the_next_process(tmp_path: Path, encoded: list[list[str]]) -> None:
    texts = ["a", "bb", "a", "ccc"]
    first = stored(tmp_path)(texts)
    assert first.dtype == np.float32
    assert first.tolist() == halved(texts)
    assert stored(tmp_path)(["ccc", "d", "a"]).tolist() == halved(["ccc", "d", "a"])
    assert encoded == [["a", "bb", "ccc"], ["d"]]
    assert stored(tmp_path)([]).shape == (0, 2)


def test_a_batch_is_read_in_one_scan(tmp_path: Path, encoded: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {i}" for i in range(300)]
    stored(tmp_path)(texts)
    embeddings = stored(tmp_path)
    scans = Scans(embeddings, monkeypatch)
    embeddings.prefetch([*texts, "new"])
    for text in [*texts, "new", "new"]:
        assert embeddings([text]).tolist() == halved([text])
    assert scans.sizes == [301]
    assert encoded[1:] == [["new"]]
    embeddings.prefetch(texts)  # all known
    assert scans.sizes == [301]
    assert stored(tmp_path).store.missing(["new"]) == ["new"]
    embeddings.keep()
    assert stored(tmp_path).store.missing(["new"]) == []


def test_missing_texts_of_a_batch_are_encoded_together(tmp_path: Path, encoded: list[list[str]]) -> None:
    embeddings = stored(tmp_path)
    embeddings.prefetch(["a", "b", "a"], encode_missing=True)
    assert embeddings(["b"]).tolist() == halved(["b"])
    assert encoded == [["a", "b"]]


def test_a_text_that_no_batch_announced_is_read_too(tmp_path: Path, encoded: list[list[str]]) -> None:
    stored(tmp_path)(["a", "b"])
    embeddings = stored(tmp_path)
    embeddings.prefetch(["a"])
    assert embeddings(["b", "a"]).tolist() == halved(["b", "a"])
    assert encoded == [["a", "b"]]


def test_a_bounded_number_of_texts_stays_in_memory(tmp_path: Path, encoded: list[list[str]],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(subject, "REMEMBERED", 5)
    embeddings = stored(tmp_path)
    for start in range(0, 60, 10):
        batch = [f"text {i}" for i in range(start, start + 10)]
        embeddings.prefetch(batch, encode_missing=True)
        for text in batch:
            assert embeddings([text]).tolist() == halved([text])
        assert len(embeddings._known) <= 15
    assert sum(map(len, encoded)) == 60
    embeddings.keep()
    assert stored(tmp_path).store.missing([f"text {i}" for i in range(60)]) == []


def test_embeddings_that_are_not_finite_name_the_text_and_advise_fp32(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(subject, "encode_texts", lambda _, texts: np.full((len(texts), 2), np.nan, np.float32))
    config, encoder = ModelConfig(precision="bf16"), SimpleNamespace(width=2)
    with pytest.raises(UserError, match=f"of the text {text_key('a').hex()} is not finite .* set model.precision=fp32"):
        StoredEmbeddings(config, tmp_path, encoder=encoder)(["a"])  # type: ignore[arg-type]


def test_without_a_store_the_texts_asked_for_last_stay_in_memory(encoded: list[list[str]], monkeypatch: Any) -> None:
    monkeypatch.setattr(subject, "REMEMBERED", 3)
    embeddings = RememberedEmbeddings(ModelConfig(), SimpleNamespace(width=2))  # type: ignore[arg-type]
    texts = ["a", "b", "c", "d", "e", "a"]
    assert embeddings(texts)[:, 1].tolist() == [ord(text) for text in texts]  # more than stay: served whole
    assert embeddings(["c", "e"])[:, 1].tolist() == [ord("c"), ord("e")]
    assert embeddings(["b"])[:, 1].tolist() == [ord("b")]
    assert encoded == [["a", "b", "c", "d", "e"], ["b"]]
    assert embeddings([]).shape == (0, 2)
    embeddings.prefetch(["f"])
    embeddings.prefetch(["g"], encode_missing=True)
    assert encoded[2:] == [["g"]]
    assert isinstance(embeddings, BatchEncode)


def test_readers_of_one_store_share_what_they_read(tmp_path: Path) -> None:
    one = text_embeddings(ModelConfig(), tmp_path)
    assert one is text_embeddings(ModelConfig(head="dense", pair="bi_encoder"), tmp_path)
    assert one is not text_embeddings(ModelConfig(precision="bf16"), tmp_path)
    assert isinstance(text_embeddings(ModelConfig(), None), RememberedEmbeddings)
