"""Encodings of texts that were asked for last, bounded in bytes: the scorer's encoder runs once per text."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder, encode_texts
from hydra_ray.models.onednn import use_onednn

ENTRY_BYTES = 260
"""What an entry costs beside its text and vector: dictionary slot, string and array objects (measured with
tracemalloc: 252 at 100,000 entries)."""


class EmbeddingCache:
    """Texts -> float32 [n, D], of a frozen encoder; for many threads, one at a time. hits, misses: texts found and
    encoded so far."""

    def __init__(self, config: ModelConfig, most_bytes: int) -> None:
        self._encoder = TextEncoder(config, config.precision).eval()
        use_onednn(self._encoder)
        self._most = most_bytes
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = self.hits = self.misses = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""
        with self._lock:
            return self._encoded(texts)

    def _encoded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        distinct = list(dict.fromkeys(texts))
        found = {text: self._kept[text] for text in distinct if text in self._kept}
        missing = [text for text in distinct if text not in found]
        self.hits += len(found)
        self.misses += len(missing)
        if missing:
            found.update(zip(missing, encode_texts(self._encoder, missing), strict=True))
        self._remember(found)
        if not texts:
            return np.zeros((0, self._encoder.width), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def forget(self) -> None:
        """Drops everything: the texts are users' history items, and do not say whose."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _remember(self, used: dict[str, NDArray[np.float32]]) -> None:
        for text, vector in used.items():
            if text in self._kept:
                self._kept.move_to_end(text)
            else:
                self._kept[text] = vector.copy()
                self.bytes += _size(text, vector)
        while self.bytes > self._most:
            self.bytes -= _size(*self._kept.popitem(last=False))


def _size(text: str, vector: NDArray[np.float32]) -> int:
    return len(text) + vector.nbytes + ENTRY_BYTES
