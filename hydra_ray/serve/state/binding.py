"""Whether a state folder's users are in its files or in a database, and in whose: its files `serving.json` and
`preparing.json` say so."""

import json
from pathlib import Path
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.serve.state.folders import PREPARED, PREPARING
from hydra_ray.utils.atomic_io import write_text

DATABASE = "database"
"""Key of the service's name in its database; null: the users are in files."""


def read_about(file: Path) -> dict[str, Any]:
    """What a state folder's file says. Raises UserError if it is broken."""
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        raise UserError(f"{file}: broken; put the file back from a backup, or give another folder") from None


def service_in_database(folder: Path, database: str | None) -> str | None:
    """The service's name in its database; None: the users are in files, or the folder is new.

    database: where the users are to be. Raises UserError if they are not of that kind.
    """
    file = next((folder / name for name in (PREPARED, PREPARING) if (folder / name).exists()), None)
    if file is None:
        return None
    service = read_about(file).get(DATABASE)
    if database and not service:
        raise UserError(f"{folder} keeps its users in files: stop the service and move them with `hydra-ray state copy "
                        f"{folder} URL`, or leave `database` out")  # fmt: skip
    if service and not database:
        raise UserError(f"{folder}: its users are in a PostgreSQL database: give its URL as `database`")
    return str(service) if service else None


def bind(folder: Path, service: str | None) -> None:
    """From now on the users are in a database, under the service's name, or in files (None)."""
    write_text(folder / PREPARED, json.dumps({**read_about(folder / PREPARED), DATABASE: service}, indent=2))
