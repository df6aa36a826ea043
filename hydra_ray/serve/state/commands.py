"""The command `state`: moves and updates what a service keeps. Its arguments, and what it prints."""

import argparse
import sys
from pathlib import Path
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.pipeline.run_archive import SERVING


def add_parsers(commands: Any) -> None:
    """Adds the command to the command line's subparsers."""
    state = commands.add_parser("state", help="move or update a service's users")
    actions = state.add_subparsers(dest="action", required=True, metavar="ACTION")
    copy = actions.add_parser("copy", help="copy all users; the service must be stopped; goes on where it was killed")
    copy.add_argument("source", metavar="FROM", help="the service's state folder, or postgresql://USER@HOST/DATABASE")
    copy.add_argument("target", metavar="TO", help="the other of the two")
    update = actions.add_parser("update", help="bring a service up to a later run of fit-users; it may run meanwhile")
    update.add_argument("served", metavar="RUN", type=Path, help="folder of the run that is served")
    update.add_argument("later", metavar="LATER", type=Path, help="folder of the run of fit-users --base-run RUN")
    update.add_argument("--state", type=Path, help="the service's state folder (RUN/serving)")
    update.add_argument("--database", metavar="URL", help="where the service keeps its users, if in PostgreSQL")
    update.add_argument("--add-users", action="store_true", help="add users whom the service does not know, too")


def state(args: argparse.Namespace) -> int:
    """`state copy` and `state update`."""
    if args.action == "copy":
        from hydra_ray.serve.state.copy_state import copy_state

        copy_state(args.source, args.target, _log)
        return 0
    from hydra_ray.serve.state.folders import PREPARED
    from hydra_ray.serve.state.update_state import update_state

    served, later = (folder.expanduser().resolve() for folder in (args.served, args.later))
    folder = args.state.expanduser().resolve() if args.state else served / SERVING
    if not (folder / PREPARED).exists():
        raise UserError(
            f"{folder}: holds no service's state ({PREPARED} is missing); serve the run first, or give --state"
        )
    update_state(served, later, folder, args.database, args.add_users, _log)
    return 0


def _log(line: str) -> None:
    print(f"[state] {line}", file=sys.stderr, flush=True)
