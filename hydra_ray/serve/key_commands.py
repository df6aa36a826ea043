"""The commands for API keys: `new-key` makes one for a file of keys, `keys` manages those in a database. Arguments, and
what they print."""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

from hydra_ray.errors import UserError

HEADINGS = ("TENANT", "NAME", "ID", "ADDED", "EXPIRES", "REQUESTS", "TOKENS")


def add_parsers(commands: Any) -> None:
    """Adds the commands to the command line's subparsers."""
    key = commands.add_parser("new-key", help="make an API key; prints its line for the service's file of keys")
    key.add_argument("tenant", metavar="TENANT", help="whom the key belongs to; a tenant sees only its own users")
    key.add_argument("--name", help="for people: in the service's usage counters")
    _option_arguments(key)

    keys = commands.add_parser("keys", help="add, list or revoke API keys in a service's database")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key; prints it, this once")
    revoke = actions.add_parser("revoke", help="remove a key; every gateway refuses it within seconds")
    for action in (add, revoke):
        action.add_argument("tenant", metavar="TENANT", help="whom the key belongs to")
        action.add_argument("name", metavar="NAME", help="of the key, one of its tenant's")
    _option_arguments(add)
    shown = actions.add_parser("list", help="names, ends and limits; no secrets")
    shown.add_argument("--tenant", help="whose keys (all)")
    for action in (add, revoke, shown):
        action.add_argument(
            "--database", metavar="URL", required=True, help="the service's, postgresql://USER@HOST/NAME"
        )


def new_key(args: argparse.Namespace) -> int:
    """`new-key`."""
    from hydra_ray.serve.http.key_lines import new_key as make

    key, line = make(args.tenant, name=args.name, expires=args.expires, requests=args.requests, tokens=args.tokens)
    print(line)
    print(f"hydra-ray: the key, shown this once: {key}", file=sys.stderr, flush=True)
    return 0


def keys(args: argparse.Namespace) -> int:
    """`keys add`, `keys list` and `keys revoke`."""
    from hydra_ray.serve.state.postgres.database import Database
    from hydra_ray.serve.state.postgres.key_table import KeyTable

    made = _made(args) if args.action == "add" else None
    table = KeyTable.open(Database(args.database, most=1))
    try:
        if made:
            secret, key = made
            table.add(key)
            print(secret)
            print(f"hydra-ray: the key {key.name} of {key.tenant}, shown this once", file=sys.stderr, flush=True)
        elif args.action == "revoke":
            table.revoke(args.tenant, args.name)
            print(f"hydra-ray: the key {args.name} of {args.tenant} is revoked", file=sys.stderr, flush=True)
        else:
            print(_table([(HEADINGS), *(_row(stored) for stored in table.list(args.tenant))]))
    finally:
        table.close()
    return 0


COMMANDS = {"new-key": new_key, "keys": keys}


def _option_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires", metavar="WHEN", help="last day (2027-06-30), moment (2027-06-30T12:00Z), or as 90d"
    )
    parser.add_argument("--requests", type=int, metavar="N", help="requests a minute at most")
    parser.add_argument("--tokens", type=int, metavar="N", help="tokens of the LLM a minute at most")


def _made(args: argparse.Namespace) -> Any:
    """A new secret and its key. Raises UserError for arguments that cannot be."""
    from hydra_ray.serve.http.key_lines import new_key as make
    from hydra_ray.serve.http.key_lines import parse_keys

    given = {"expires": args.expires, "requests": args.requests, "tokens": args.tokens}
    secret, line = make(args.tenant, name=args.name, here="keys add", **given)
    (key,) = parse_keys([line], "keys add").keys
    if key.expired(time.time()):
        raise UserError(f"keys add: --expires {args.expires}: is in the past; give a later day, or leave it out")
    return secret, key


def _row(stored: Any) -> tuple[str, ...]:
    key = stored.key
    expires = "never" if key.expires is None else f"{datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d %H:%M}"
    limits = ("-" if most is None else str(most) for most in (key.requests, key.tokens))
    return (key.tenant, key.name, key.id, f"{stored.added.astimezone(UTC):%Y-%m-%d %H:%M}", expires, *limits)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
