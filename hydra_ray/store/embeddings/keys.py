"""Texts as keys: 16 bytes of hash, whose first bits are the shard."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 16
SHARDS = 64
"""A power of two, at most 256. A text's shard is the first bits of its key: keys in order are shards in order."""

Keys = NDArray[Any]
"""Dtype `S16`: compares and sorts as bytes do. An element read as Python `bytes` loses zero bytes at its end."""


def text_key(text: str) -> bytes:
    """The key of a text, 16 bytes; surrogates count as they stand."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BYTES).digest()


def text_keys(texts: Iterable[str]) -> Keys:
    """The keys of texts, [n], in the order given."""
    return as_keys(b"".join(map(text_key, texts)))


def as_keys(raw: bytes | memoryview) -> Keys:
    """Keys that lie one after the other."""
    return np.frombuffer(raw, dtype=f"S{KEY_BYTES}")


def shards_of(keys: Keys) -> NDArray[np.int64]:
    """The shard of each key, [n], in [0, SHARDS)."""
    first = np.frombuffer(keys.tobytes(), dtype=np.uint8).reshape(-1, KEY_BYTES)[:, 0]
    shards: NDArray[np.int64] = first.astype(np.int64) * SHARDS // 256
    return shards


def hex_of(keys: Keys, place: int) -> str:
    """One of the keys, 32 hex digits: how messages name a text without showing it."""
    return keys.tobytes()[place * KEY_BYTES : (place + 1) * KEY_BYTES].hex()
