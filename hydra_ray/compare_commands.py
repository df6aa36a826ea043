"""The commands that compare methods and runs: `compare` and `sweep`. Their arguments."""

import argparse
from pathlib import Path
from typing import Any

from hydra_ray.dry_run_arguments import add_dry_run, check_dry_run


def add_parsers(commands: Any) -> None:
    """Adds the commands to the command line's subparsers."""
    comparing = commands.add_parser("compare", help="run many methods on one data set; one table with quality and cost")
    comparing.add_argument("--config", type=Path, help="YAML file; says only what differs from the defaults")
    comparing.add_argument(
        "--methods", default="all", metavar="a,b,c", help="which, by name (all: every one that data and config permit)"
    )
    add_dry_run(comparing)
    comparing.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key of the config")

    sweeping = commands.add_parser("sweep", help="one run for each value of a key; one table and one chart of all")
    sweeping.add_argument("file", type=Path, metavar="FILE", help="YAML file of the runs")
    sweeping.add_argument(
        "overrides", nargs="*", metavar="a.b=x,y,z",
        help="a key with its values (of several such keys, every combination), or a.b=c for all runs",
    )  # fmt: skip
    sweeping.add_argument("--methods", metavar="a,b,c", help="which the table shows (HYDRA and the main baselines)")
    add_dry_run(sweeping)


def compare(args: argparse.Namespace) -> int:
    """Chooses the methods, then runs and compares them."""
    from hydra_ray.config import ValueOverride, load_config
    from hydra_ray.methods.chosen import choose_methods

    check_dry_run(args)
    config = load_config(args.config, args.overrides)
    chosen = choose_methods(config, args.methods)
    methods = list(dict.fromkeys([*config.evaluate.methods, *chosen.further]))
    config = load_config(args.config, [*args.overrides, ValueOverride(("evaluate", "methods"), methods)])
    if args.dry_run:
        from hydra_ray.pipeline.dry_run import dry_run

        print(dry_run(config, offline=args.offline, left_out=chosen.left_out))
        return 0
    from hydra_ray.pipeline.compare import compare as run_and_compare

    return run_and_compare(config, chosen)


def sweep(args: argparse.Namespace) -> int:
    """Carries out one run for each combination of values."""
    from hydra_ray.core.grid import parse_grid
    from hydra_ray.pipeline.sweep import Sweep

    check_dry_run(args)
    runs = Sweep(args.file, parse_grid(args.overrides), args.methods)
    if not args.dry_run:
        return runs.run()
    from hydra_ray.pipeline.dry_run import dry_run
    from hydra_ray.pipeline.sweep import budget_lines

    for point, config in runs.runs:
        print(f"{point}\n{dry_run(config, offline=args.offline)}\n")
    for line in budget_lines([config for _, config in runs.runs]):
        print(line)
    return 0


COMMANDS = {"compare": compare, "sweep": sweep}
