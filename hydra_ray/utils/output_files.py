"""Files that a command is told to write must not be those that it reads, nor twice the same one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hydra_ray.errors import UserError


def check_outputs(written: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Checks before anything is written.

    Args:
        written: The option of the command that names a file -> the file; None where it is not given.
        read: The files that are read.

    Raises:
        UserError: A file would be written over another one.
    """
    inputs = {file.expanduser().resolve() for file in read if file is not None}
    options: dict[Path, str] = {}
    for option, file in written.items():
        if file is None:
            continue
        place = file.expanduser().resolve()
        if place in inputs:
            raise UserError(f"{option} {file}: is a file that is read; give another one")
        if place in options:
            raise UserError(f"{option} {file}: is the file of {options[place]}; give another one")
        options[place] = option
