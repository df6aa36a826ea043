"""Embeddings of texts that were asked for last, bounded in bytes: the scorer's encoder runs once per text."""

import contextlib
import threading
from collections.abc import Sequence

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import encode_texts, frozen_encoder
from hydra_ray.utils.device import CPU

ENTRY_BYTES = 420
"""What an entry costs on top of its text and embedding: the cache's slots, string, tuple and array objects (measured
with tracemalloc: 417 at 100,000 entries)."""


class EmbeddingCache:
    """Texts -> float32 [n, D], of a frozen encoder; for many threads, one at a time. hits, misses: texts found and
    encoded so far."""

    def __init__(self, config: ModelConfig, most_bytes: int, device: torch.device = CPU) -> None:
        self._encoder = frozen_encoder(config, device)
        self._kept: LRUCache[str, tuple[str, NDArray[np.float32]]] = LRUCache(most_bytes, _size)
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    @property
    def bytes(self) -> int:
        """What the kept embeddings take, with their texts."""
        return int(self._kept.currsize)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""
        with self._lock:
            return self._encoded(texts)

    def _encoded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        distinct = list(dict.fromkeys(texts))
        found = {text: self._kept[text][1] for text in distinct if text in self._kept}
        missing = [text for text in distinct if text not in found]
        self.hits += len(found)
        self.misses += len(missing)
        if missing:
            new = dict(zip(missing, encode_texts(self._encoder, missing), strict=True))
            self._remember(new)
            found |= new
        if not texts:
            return np.zeros((0, self._encoder.width), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def clear(self) -> None:
        """Drops everything: the texts are users' history items, and do not say whose."""
        with self._lock:
            self._kept.clear()

    def _remember(self, new: dict[str, NDArray[np.float32]]) -> None:
        for text, embedding in new.items():
            with contextlib.suppress(ValueError):  # larger than all room there is
                self._kept[text] = text, embedding.copy()


def _size(entry: tuple[str, NDArray[np.float32]]) -> int:
    text, embedding = entry
    return len(text) + embedding.nbytes + ENTRY_BYTES
