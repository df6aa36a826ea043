"""Zips that are read member by member, without extracting anything."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hydra_ray.errors import UserError


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip and its members that are files, in its order.

    Args:
        path: The zip.
        what: Its content should be a folder of these, for the message.

    Raises:
        UserError: It is broken, wants a password, or a member's path climbs out of it. The same inside the block.
            (OSError goes through.)
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                _check_path(path, member.filename, what)
            yield archive, members
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{path}: a broken zip ({error}); make or download it again") from None
    except RuntimeError:  # zipfile's way to ask for a password
        raise UserError(f"{path}: is encrypted; give a zip without a password") from None


def _check_path(path: Path, name: str, what: str) -> None:
    """Raises UserError for a member that would not lie below the folder that the zip is unpacked in."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise UserError(f"{path}: {name!r} climbs out of the zip; make the zip again from a folder of {what}")
