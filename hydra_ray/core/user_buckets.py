"""user -> bucket: a stable hash, so that every machine, language and year agrees on it."""

import hashlib


def bucket_of(user_id: str, buckets: int) -> int:
    """The bucket of a user, in [0, buckets).

    blake2b of the UTF-8 id, first 8 bytes little-endian, modulo the bucket count: independent of Python's hash seed.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets
