"""Encodings of a frozen encoder, computed once: SQLite, keyed by encoder and text; shared by a machine's processes.

Each machine has a file of its own: a write-ahead log needs memory that all its users share; storage does not give it.
"""

import hashlib
import socket
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder, encode_texts

CHUNK = 1024
"""Texts that are encoded between two commits: what a killed run may have to encode again."""

REMEMBERED = 100_000
"""Texts whose vectors stay in memory at most: 150 MB at 384 numbers each."""


class CachedTextEncoder:
    """Texts -> float32 [n, D]; the encoder is loaded when the first text is not in the cache.

    folder: where the cache lives (None: in memory only).
    """

    def __init__(self, config: ModelConfig, folder: Path | None, encoder: TextEncoder | None = None) -> None:
        self._config = config
        self._encoder = encoder
        self._memory: LRUCache[str, NDArray[np.float32]] = LRUCache(REMEMBERED)
        self._db: sqlite3.Connection | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            kind = f"{config.encoder}\0{config.pooling}\0{config.max_tokens}\0{config.precision}"
            name = hashlib.blake2b(kind.encode(), digest_size=6).hexdigest()
            self._db = sqlite3.connect(
                folder / f"{name}-{socket.gethostname()}.sqlite",
                timeout=60,
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), D], in the order given."""
        distinct = list(dict.fromkeys(texts))
        found = {text: vector for text in distinct if (vector := self._look_up(text)) is not None}
        missing = [text for text in distinct if text not in found]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            vectors = encode_texts(self.encoder, chunk)
            self._keep(chunk, vectors)
            for text, vector in zip(chunk, vectors, strict=True):
                # A copy: a row of the chunk's array would hold the whole array in memory.
                found[text] = self._memory[text] = vector.copy()
        if not texts:
            return np.zeros((0, self.encoder.width), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    @property
    def encoder(self) -> TextEncoder:
        """The encoder itself, loaded on first use."""
        if self._encoder is None:
            self._encoder = TextEncoder(self._config, self._config.precision)
        return self._encoder

    def _look_up(self, text: str) -> NDArray[np.float32] | None:
        vector = self._memory.get(text)
        if vector is None and self._db is not None:
            row = self._db.execute("SELECT vector FROM vectors WHERE key = ?", (_key(text),)).fetchone()
            if row is not None:
                vector = self._memory[text] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        return vector

    def _keep(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        if self._db is None:
            return
        rows = [(_key(text), vector.astype("<f4").tobytes()) for text, vector in zip(texts, vectors, strict=True)]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        self._db.execute("COMMIT")


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
