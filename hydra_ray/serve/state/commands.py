"""The commands `state`, which moves and updates what a service keeps, and `refit`: arguments, and what they print."""

import argparse
import sys
from pathlib import Path
from typing import Any

from hydra_ray.pipeline.run_archive import SERVING


def add_parsers(commands: Any) -> None:
    """Adds the commands to the command line's subparsers."""
    state = commands.add_parser("state", help="move or update a service's users")
    actions = state.add_subparsers(dest="action", required=True, metavar="ACTION")
    copy = actions.add_parser("copy", help="copy all users; the service must be stopped; goes on where it was killed")
    copy.add_argument("source", metavar="FROM", help="the service's state folder, or postgresql://USER@HOST/DATABASE")
    copy.add_argument("target", metavar="TO", help="the other of the two")
    update = actions.add_parser("update", help="bring a service up to a later run of fit-users; it may run meanwhile")
    update.add_argument("served", metavar="RUN", type=Path, help="folder of the run that is served")
    update.add_argument("later", metavar="LATER", type=Path, help="folder of the run of fit-users --base-run RUN")
    _state_arguments(update)
    about = "fit users with new history and give items and heads to the service, which may run; for every night"
    refitting = commands.add_parser("refit", help=about, description=about)
    refitting.add_argument("--config", type=Path, help="YAML file of the run of the fits, as of fit-users --base-run")
    refitting.add_argument("--base-run", metavar="RUN", help="the run that is served (default: fit.base_run)")
    _state_arguments(refitting)
    refitting.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key of the config")


def _state_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, help="the service's state folder (RUN/serving)")
    parser.add_argument("--database", metavar="URL", help="where the service keeps its users, if in PostgreSQL")
    parser.add_argument("--add-users", action="store_true", help="add users whom the service does not know, too")


def state(args: argparse.Namespace) -> int:
    """`state copy` and `state update`."""
    if args.action == "copy":
        from hydra_ray.serve.state.copy_state import copy_state

        copy_state(args.source, args.target, _log)
        return 0
    from hydra_ray.serve.state.update_state import served_from, update_state

    served, later = (folder.expanduser().resolve() for folder in (args.served, args.later))
    folder = args.state.expanduser().resolve() if args.state else served / SERVING
    _log(update_state(served_from(served, folder, args.database), later, args.add_users))
    return 0


def refit(args: argparse.Namespace) -> int:
    """`refit`: one line on stdout says what was done."""
    from hydra_ray.config import ValueOverride, load_config
    from hydra_ray.serve.state.refit import Refit, refit

    flags = [ValueOverride(("fit", "base_run"), args.base_run)] if args.base_run else []
    config = load_config(args.config, [*args.overrides, *flags])
    folder = args.state.expanduser().resolve() if args.state else None
    print(f"refit: {refit(Refit(config, folder, args.database, args.add_users))}", flush=True)
    return 0


COMMANDS = {"state": state, "refit": refit}


def _log(line: str) -> None:
    print(f"[state] {line}", file=sys.stderr, flush=True)
