from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import ModelConfig
from hydra_ray.serve.caches import embedding_cache
from hydra_ray.serve.caches.embedding_cache import ENTRY_BYTES, EmbeddingCache

EACH = 2 + 4 * 4 + ENTRY_BYTES
"""Bytes of one entry here: a text of two characters, four numbers."""


class Encoder:
    """Stands for a text encoder; counts the texts that it encodes."""

    width = 4

    def __init__(self, *_: Any) -> None:
        self.texts: list[str] = []


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> EmbeddingCache:
    def encode(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
        encoder.texts += texts
        return np.array([[len(text), ord(text[0]), ord(text[-1]), 1] for text in texts], np.float32)

    monkeypatch.setattr(embedding_cache, "frozen_encoder", Encoder)
    monkeypatch.setattr(embedding_cache, "encode_texts", encode)
    return EmbeddingCache(ModelConfig(), 3 * EACH)


def encoded(cache: EmbeddingCache) -> list[str]:
    """The texts encoded so far, in order."""
    return cache._encoder.texts  # type: ignore[attr-defined, return-value]


def test_the_texts_asked_for_last_stay(cache: EmbeddingCache) -> None:
    cache(["t1", "t2", "t3"])
    assert cache.bytes == 3 * EACH
    cache(["t1"])  # read again: t2 is now the oldest
    cache(["t4"])
    assert cache(["t1", "t3", "t4"])[:, 2].tolist() == [ord(c) for c in "134"]
    assert encoded(cache) == ["t1", "t2", "t3", "t4"]
    cache(["t2"])
    assert encoded(cache)[4:] == ["t2"]
    assert (cache.hits, cache.misses) == (4, 5)


def test_a_batch_larger_than_the_cache_is_served_whole(cache: EmbeddingCache) -> None:
    texts = [f"t{i}" for i in range(9)]
    assert cache([*texts, "t0"])[:, 2].tolist() == [ord(text[1]) for text in [*texts, "t0"]]
    assert cache.bytes == 3 * EACH


def test_a_text_larger_than_the_cache_is_encoded_each_time_and_drops_nothing(cache: EmbeddingCache) -> None:
    cache(["t1"])
    long = "x" * 4 * EACH
    for _ in range(2):
        assert cache([long])[0, 0] == len(long)
    cache(["t1"])
    assert encoded(cache) == ["t1", long, long]
    assert cache.bytes == EACH


def test_forgotten_texts_leave_no_bytes(cache: EmbeddingCache) -> None:
    cache(["t1", "t2"])
    cache.clear()
    assert cache.bytes == 0
    assert cache([]).shape == (0, 4)
