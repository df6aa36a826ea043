"""`hydra-ray fetch URL RUN`: a finished run from an archive, to serve it or to build on it."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Adds the command to those of the command line."""
    fetch = commands.add_parser("fetch", help="bring a finished run from an archive, to serve it or build on it")
    fetch.add_argument("archive", metavar="URL", help="as in the run's configuration, e.g. s3://bucket/path")
    fetch.add_argument("run", metavar="RUN", help="the run's name")
    fetch.add_argument("--root", type=Path, default=Path("runs"), help="folder of all runs (runs)")


def fetch(args: argparse.Namespace) -> int:
    """Prints the run's folder. Raises UserError for what the archive refuses or does not hold."""
    from hydra_ray.pipeline.run_archive import RunArchive
    from hydra_ray.pipeline.step import make_root

    root = args.root.expanduser().resolve()
    archive = RunArchive(args.archive, root, lambda line: print(line, file=sys.stderr, flush=True))
    make_root(root)
    archive.fetch_run(args.run)
    print(root / args.run)
    return 0
