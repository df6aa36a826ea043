"""Which users train and which are tested, where the data do not say."""

import hashlib

from hydra_ray.core.types import Split


def split_of(user_id: str, test_share: float) -> Split:
    """`test` for about `test_share` of all users: by a hash of the id, so it stays the same however many users come.

    Salted, so that it is independent of the user's bucket.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, salt=b"split").digest()
    return "test" if int.from_bytes(digest, "little") < test_share * 2**64 else "train"
