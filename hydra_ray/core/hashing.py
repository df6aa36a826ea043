"""Draws that depend on nothing but what they are of: the same on every machine, in any order, along with any others."""

import hashlib


def stable_hash(*parts: object) -> bytes:
    """Eight bytes, blake2b over the parts' text: what to sort by for a random order that never changes."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def stable_seed(*parts: object) -> int:
    """A seed in [0, 2**31), from `stable_hash`: what OpenAI-compatible servers take."""
    return int.from_bytes(stable_hash(*parts), "little") % 2**31
