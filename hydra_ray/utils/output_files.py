"""Files that a command is told to write: they can be written, and are neither read by it nor twice the same one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hydra_ray.errors import UserError


def check_outputs(written: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Checks before anything is written.

    Args:
        written: The option of the command that names a file -> the file; None where it is not given.
        read: The files that are read.

    Raises:
        UserError: A file would be written over another one, or its name is a folder's, or its folder is not there.
    """
    given = [(option, file) for option, file in written.items() if file is not None]
    for option, file in given:
        if not file.name or file.is_dir():
            raise UserError(f"{option} {file}: is a folder; give a file in it")
        if not file.parent.is_dir():
            raise UserError(f"{option} {file}: there is no folder {file.parent}; make it, or give another file")
    check_overwrites(given, read)


def check_overwrites(written: Iterable[tuple[str, Path]], read: Iterable[Path | None]) -> None:
    """The same of pairs of an option and a file, as far as overwriting goes; an option may write several files."""
    inputs = {file.expanduser().resolve() for file in read if file is not None}
    options: dict[Path, str] = {}
    for option, file in written:
        place = file.expanduser().resolve()
        if place in inputs:
            raise UserError(f"{option} {file}: is a file that is read; write elsewhere")
        if place in options:
            raise UserError(f"{option} {file}: is the file of {options[place]}; write elsewhere")
        options[place] = option
