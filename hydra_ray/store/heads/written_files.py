"""Is a file that Lance has just written really there, whole? Asked before every commit.

On a full disk Lance 14 can lose a file's last write and report success: data, index and deletion files alike were seen
cut short, and a commit would publish them. Data and index files are compared with the size that Lance believes they
have; a deletion file, whose size it does not tell, must be complete in its own format.
"""

import struct

import pyarrow as pa

from hydra_ray.errors import UserError
from hydra_ray.store.heads.lance_io import Files, LanceError

_ROARING = 12346  # the cookie of a serialised roaring bitmap without run containers (RoaringFormatSpec)


def check_size(files: Files, path: str, size: int) -> None:
    """Raises UserError if a file is shorter than `size` bytes."""
    try:
        for _ in files.chunks(path, size, start=max(0, size - 1)):
            pass
    except LanceError as error:
        raise _cut(files, path, str(error)) from None


def check_deletion_file(files: Files, path: str) -> None:
    """Raises UserError if a deletion file is not whole."""
    raw = files.content(path)
    try:
        if path.endswith(".arrow"):
            pa.ipc.open_file(pa.py_buffer(raw)).read_all()
        elif len(raw) < roaring_size(raw):
            raise ValueError(f"{len(raw)} bytes of {roaring_size(raw)}")
    except (ValueError, struct.error) as error:
        raise _cut(files, path, str(error)) from None


def roaring_size(raw: bytes) -> int:
    """The bytes that a serialised roaring bitmap should have, from its header; 0 for one with run containers.

    The header: cookie and number of containers (u32 each), then per container its key and its cardinality - 1 (u16
    each), then per container an offset (u32). A container of up to 4,096 values takes 2 bytes each, a larger one 8,192.
    """
    cookie: int
    containers: int
    cookie, containers = struct.unpack_from("<II", raw)
    if cookie != _ROARING:
        return 0
    pairs: tuple[int, ...] = struct.unpack_from(f"<{2 * containers}H", raw, 8)
    return 8 + 8 * containers + sum(2 * (less + 1) if less < 4096 else 8192 for less in pairs[1::2])


def _cut(files: Files, path: str, why: str) -> UserError:
    return UserError(
        f"{files.uri}: the disk is full ({path} was cut short: {why}); the last published version is intact: make "
        "room and do the same again"
    )
