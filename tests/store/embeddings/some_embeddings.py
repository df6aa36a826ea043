"""Embeddings of short texts."""

import os

import numpy as np

from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import text_key, text_keys

WIDTH = 3


def embeddings_of(texts: list[str], width: int = WIDTH) -> np.ndarray:
    """Numbers that fp16 holds exactly, other ones for every text."""
    raw = np.frombuffer(b"".join(text_key(text)[:width] for text in texts), dtype=np.uint8)
    return raw.reshape(len(texts), width).astype(np.float32)


def keep(store: EmbeddingStore, texts: list[str]) -> int:
    return store.append(text_keys(texts), embeddings_of(texts))


def files_of(store: EmbeddingStore) -> list[str]:
    return sorted(os.listdir(store.folder))
