"""`--dry-run` and `--offline`: arguments of every command that starts a run."""

import argparse

from hydra_ray.errors import UserError


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Adds the two."""
    parser.add_argument(
        "--dry-run", action="store_true", help="open all that is read, say what it would cost at most, and stop"
    )
    parser.add_argument("--offline", action="store_true", help="with --dry-run: do not call the endpoint")


def check_dry_run(args: argparse.Namespace) -> None:
    """Raises UserError for `--offline` alone."""
    if args.offline and not args.dry_run:
        raise UserError("--offline: goes with --dry-run")
