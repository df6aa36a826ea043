"""Draws that depend on nothing but what they are of: the same on every machine, in any order, along with any others."""

import hashlib

from hydra_ray.core.types import Split


def stable_hash(*parts: object) -> bytes:
    """Eight bytes, blake2b over the parts' text: what to sort by for a random order that never changes."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def stable_seed(*parts: object) -> int:
    """A seed in [0, 2**31), from `stable_hash`: what OpenAI-compatible servers take."""
    return int.from_bytes(stable_hash(*parts), "little") % 2**31


def bucket_of(user_id: str, buckets: int) -> int:
    """The bucket of a user, in [0, buckets).

    blake2b of the UTF-8 id, first 8 bytes little-endian, modulo the bucket count: independent of Python's hash seed.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def split_of(user_id: str, test_share: float) -> Split:
    """Whether a user trains or is tested, where the data do not say: `test` for about `test_share` of all users, by a
    hash of the id, so it stays the same however many users come.

    Salted, so that it is independent of the user's bucket.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, salt=b"split").digest()
    return "test" if int.from_bytes(digest, "little") < test_share * 2**64 else "train"
