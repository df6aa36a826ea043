"""The command `bench`: what is measured, and which arguments each benchmark takes. None is needed."""

import argparse
import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

KINDS = ("linear", "low_rank")


def add_parsers(commands: Any) -> None:
    """Adds the command to the command line's subparsers."""
    about = "measure; one JSON object on stdout"
    bench = commands.add_parser("bench", help=about, description=f"{about}. What the figures say: docs/benchmarks.md")
    names = bench.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, (title, add_arguments) in BENCHES.items():
        # What is not given is left out: every benchmark has its own default for it.
        parser = names.add_parser(name, help=title, description=title, argument_default=argparse.SUPPRESS)
        parser.add_argument("--json", action="store_true", help="the default; kept for scripts")
        add_arguments(parser)


def bench(args: argparse.Namespace) -> int:
    """Measures, and keeps stdout for the one JSON object: whatever else is printed goes to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    result = import_module(f"hydra_ray.bench.{args.name.replace('-', '_')}").run(args)
    with os.fdopen(stdout, "w") as stream:
        stream.write(json.dumps(result) + "\n")
    return 0


def _count(text: str) -> int:
    """An argument that is a whole number above zero."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero")
    return number


def _none(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def _label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=_count, help="concurrent calls per task and repeat (640)")


def _most_users(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-users", type=_count, metavar="USERS", help="the most users (100,000)")


def _heads(parser: argparse.ArgumentParser) -> None:
    _most_users(parser)
    parser.add_argument("--threads", type=_count, help="of both sides (1)")


def _encode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=_count, help="kept texts, joined to ten times as many rows (100,000)")
    parser.add_argument("--threads", type=_count, help="of both sides (PyTorch's)")


def _fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="users that are fitted (4)")


def _fit_scale(parser: argparse.ArgumentParser) -> None:
    _most_users(parser)
    parser.add_argument("--million", action="store_true", help="1,000,000 users as well")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="of heads (both)")


def _train_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="training users (10,000)")
    parser.add_argument("--workers", type=_count, help="training workers (1)")
    parser.add_argument("--kinds", nargs=1, choices=KINDS, metavar="KIND", help="of heads (linear)")
    parser.add_argument("--folder", help="keeps what it makes; the same command goes on after a kill")


def _store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="users in the store (100,000)")
    parser.add_argument("--million", action="store_true", help="1,000,000 users as well")


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="users with histories (2,000)")
    parser.add_argument("--database", metavar="URL", help="PostgreSQL; a schema is made there and dropped again")


def _state_growth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="of the larger store (100,000)")
    parser.add_argument("--database", metavar="URL", help="PostgreSQL; two schemas are made there and dropped again")


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", metavar="a,b", help="some of latency,plain,users,zipf,overload (all)")
    parser.add_argument("--users", type=_count, help="zipf: users in the stores (100,000)")
    parser.add_argument("--seconds", type=float, help="of the overload (60); others take a sixth each")
    parser.add_argument("--set", action="append", metavar="a.b=c", help="override a key of the service's config")


def _cuda(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="what runs it (cuda; cpu: the same code, small)")


def _quickstart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="YAML file of the run (configs/quickstart.yaml)")


def _lora(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=_count, help="users that are trained (64)")
    parser.add_argument("--threads", type=_count, help="of both sides (PyTorch's)")


BENCHES: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "quickstart": ("a whole run: its time, and the most memory of all its processes", _quickstart),
    "label": ("calls of a vLLM server: many in flight against one at a time", _label),
    "ingest": ("memory of reading users' histories, from few users to many", _most_users),
    "encode": ("texts encoded: sorted by length in bf16 against random order in fp32; kept embeddings read", _encode),
    "heads": ("a training step's product with users' heads against the table of all heads", _heads),
    "scaling": ("training steps: two workers against one", _none),
    "train-scale": ("a joint training of many users, from ingest to published heads", _train_scale),
    "fit": ("users fitted: embeddings kept against recomputed at every step", _fit),
    "fit-scale": ("users fitted, from a thousand to a million: time and memory", _fit_scale),
    "store": ("heads of 1,000 users out of many against reading whole shards", _store),
    "lora": ("users' LoRA trained: many at once against one after the other with peft", _lora),
    "state": ("histories of the service's users: appends and reads, in files and in PostgreSQL", _state),
    "state-growth": ("the same in PostgreSQL: many users against few", _state_growth),
    "serve": ("the service under load", _serve),
    "cuda": ("every numeric stage on one device, without Ray", _cuda),
}
"""Name -> what it measures, and its arguments. The module of `hydra_ray.bench` has the same name."""
COMMANDS = {"bench": bench}
