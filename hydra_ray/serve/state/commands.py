"""The command `state`: moves what a service keeps. Its arguments, and what it prints."""

import argparse
import sys
from typing import Any


def add_parsers(commands: Any) -> None:
    """Adds the command to the command line's subparsers."""
    state = commands.add_parser("state", help="move a service's users between its state folder and PostgreSQL")
    actions = state.add_subparsers(dest="action", required=True, metavar="ACTION")
    copy = actions.add_parser("copy", help="copy all users; the service must be stopped; goes on where it was killed")
    copy.add_argument("source", metavar="FROM", help="the service's state folder, or postgresql://USER@HOST/DATABASE")
    copy.add_argument("target", metavar="TO", help="the other of the two")


def state(args: argparse.Namespace) -> int:
    """`state copy`."""
    from hydra_ray.serve.state.copy_state import copy_state

    copy_state(args.source, args.target, lambda line: print(f"[state] {line}", file=sys.stderr, flush=True))
    return 0
