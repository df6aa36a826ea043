"""Embeddings of a frozen encoder by text: read from the store they are kept in, the missing ones encoded and kept.

D: numbers of an embedding.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder, encode_texts, frozen_encoder
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore, to_half
from hydra_ray.store.embeddings.keys import text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from hydra_ray.utils.device import CPU

CHUNK = 8192
"""Texts that are encoded between two fragments: what a killed run may have to encode again."""
LEAST_KEPT = 256
"""Texts of a fragment at least, between two calls of `prefetch`."""
REMEMBERED = 100_000
"""Texts whose embeddings stay in memory from one batch to the next: 150 MB of float32 at 384 numbers each."""


@runtime_checkable
class BatchEncode(Protocol):
    """Texts to embeddings, with a batch of texts made ready at a time."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""

    def prefetch(self, texts: Sequence[str], encode_missing: bool = False) -> None:
        """Reads what is kept of a batch's texts in one scan, for the calls that follow.

        encode_missing: all of them will be asked for: those that are not kept are encoded now, together.
        """


class StoredEmbeddings:
    """Texts -> float32 [n, D], as a store keeps them (fp16). What it lacks is encoded and added to it.

    A call reads the store in one scan, unless `prefetch` has. The encoder is loaded when the first text is missing.
    What it makes is kept at the end of a call, after `prefetch` once there is enough for a fragment. For one thread at
    a time.
    """

    def __init__(
        self,
        config: ModelConfig,
        root: Path,
        device: torch.device = CPU,
        encoder: TextEncoder | None = None,
    ) -> None:
        """root: folder of all stores. device: of the encoder. encoder: one that is loaded already."""
        self.store = EmbeddingStore(root, spec_of(config))
        self._config, self._device, self._encoder = config, device, encoder
        self._known: dict[str, NDArray[np.float16]] = {}
        self._absent: set[str] = set()
        self._unkept: list[str] = []
        self._prefetched = False
        self._most = REMEMBERED

    @property
    def encoder(self) -> TextEncoder:
        """The encoder itself, loaded on first use."""
        if self._encoder is None:
            self._encoder = frozen_encoder(self._config, self._device)
        return self._encoder

    @property
    def width(self) -> int:
        """D."""
        return self.store.width or self.encoder.width

    def prefetch(self, texts: Sequence[str], encode_missing: bool = False) -> None:
        """See BatchEncode."""
        self._prefetched = True
        distinct = list(dict.fromkeys(texts))
        self._make_room(REMEMBERED)
        self._most = REMEMBERED + len(self._known) + len(self._absent) + len(distinct)
        unread = [text for text in distinct if text not in self._known and text not in self._absent]
        table, present = self.store.read(text_keys(unread))
        for text, row, here in zip(unread, table, present.tolist(), strict=True):
            if here:
                self._known[text] = row
            else:
                self._absent.add(text)
        if encode_missing:
            self._encode([text for text in distinct if text in self._absent])

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""
        self._make_room(self._most)
        distinct = list(dict.fromkeys(texts))
        unread = [text for text in distinct if text not in self._known and text not in self._absent]
        read, present = self.store.read(text_keys(unread))
        here = dict(zip(unread, present.tolist(), strict=True))
        self._encode([text for text in distinct if text in self._absent or not here.get(text, True)])
        if not self._prefetched:
            self.keep()
        place_of = {text: place for place, text in enumerate(distinct)}
        table = np.empty((len(distinct), self.width), dtype=np.float32)
        if present.any():
            table[[place_of[text] for text, found in here.items() if found]] = read[present]
        for text, place in place_of.items():
            if text in self._known:
                table[place] = self._known[text]
        return table if len(distinct) == len(texts) else table[[place_of[text] for text in texts]]

    def keep(self) -> None:
        """Adds what was encoded since the last time to the store."""
        if self._unkept:
            self.store.append(text_keys(self._unkept), np.stack([self._known[text] for text in self._unkept]))
            self._unkept = []

    def _encode(self, texts: Sequence[str]) -> None:
        """Encodes distinct texts; they are known then."""
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            rounded = to_half(text_keys(chunk), encode_texts(self.encoder, chunk), self._config.precision)
            self._known |= zip(chunk, rounded, strict=True)
            self._absent.difference_update(chunk)
            self._unkept += chunk
            if len(self._unkept) >= LEAST_KEPT:
                self.keep()

    def _make_room(self, most: int) -> None:
        """Forgets what was read, where it is more than so many texts."""
        if len(self._known) + len(self._absent) > most:
            self.keep()
            self._known, self._absent = {}, set()


class RememberedEmbeddings:
    """Texts -> float32 [n, D]; those that were asked for last stay in memory, nothing is kept on disk."""

    def __init__(self, config: ModelConfig, encoder: TextEncoder | None = None, device: torch.device = CPU) -> None:
        """encoder: one that is loaded already; None: it is loaded, on `device`, when the first text is asked for."""
        self._config, self._encoder, self._device = config, encoder, device
        self._memory: LRUCache[str, NDArray[np.float32]] = LRUCache(REMEMBERED)

    @property
    def encoder(self) -> TextEncoder:
        """The encoder itself, loaded on first use."""
        if self._encoder is None:
            self._encoder = frozen_encoder(self._config, self._device)
        return self._encoder

    @property
    def width(self) -> int:
        """D."""
        return self.encoder.width

    def prefetch(self, texts: Sequence[str], encode_missing: bool = False) -> None:
        """See BatchEncode; there is nothing to read."""
        if encode_missing:
            self(texts)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""
        distinct = list(dict.fromkeys(texts))
        found = {text: embedding for text in distinct if (embedding := self._memory.get(text)) is not None}
        missing = [text for text in distinct if text not in found]
        for text, embedding in zip(missing, encode_texts(self.encoder, missing), strict=True):
            found[text] = self._memory[text] = embedding.copy()
        if not texts:
            return np.zeros((0, self.encoder.width), dtype=np.float32)
        return np.stack([found[text] for text in texts])


@cache
def _stored(spec: EmbeddingSpec, root: Path, encoder: str, device: torch.device) -> StoredEmbeddings:
    read = {"pooling": spec.pooling, "max_tokens": spec.max_tokens, "precision": spec.precision}
    config = ModelConfig.model_validate({"encoder": encoder, **read})
    return StoredEmbeddings(config, root, device)


def text_embeddings(
    config: ModelConfig, root: Path | None, device: torch.device = CPU
) -> StoredEmbeddings | RememberedEmbeddings:
    """The embeddings of a model's frozen encoder.

    Args:
        config: Of the model.
        root: Folder of all stores; what reads the same store in one process shares one encoder and what was read. None:
            they are kept in memory alone.
        device: Where texts that are not kept are encoded.
    """
    if root is None:
        return RememberedEmbeddings(config, device=device)
    return _stored(spec_of(config), root, config.encoder, device)
