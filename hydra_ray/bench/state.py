"""`hydra-ray bench state --database URL`: histories in PostgreSQL against histories in SQLite files.

The same made-up users in both. Several threads append single items to random users, read whole histories (what the
first question of a user costs) and states (what each further one costs). The two take turns. Then: what notifications
would do in place of reading states (`hydra_ray.bench.state_notify`).
"""

import random
import sys
import tempfile
import time
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from hydra_ray.bench.state_notify import measure, random_append
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Database
from hydra_ray.serve.state.postgres.user_store import PostgresUserStore
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore

BUCKETS, ITEMS, WORDS = 64, 30, 20
THREADS = 4
CALLS = 400
"""Of each kind, in each turn."""
TURNS = 3
LOADED_AT_ONCE = 20_000
"""Users in memory while they are loaded."""

Figures = dict[str, float]


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `database` (a URL), `users` (default 2,000). ratio: appends a second in PostgreSQL over those in SQLite
    files, medians of TURNS turns; so are the other ratios, of reads. *_ms: milliseconds of one call. notify: see
    `state_notify.measure`.
    """
    users, url = int(getattr(args, "users", 2000)), database_of(args)
    with _states(url) as (states, own_url):
        loaded = {name: load(store, users) for name, store in states.items()}
        turns: dict[str, list[Figures]] = {name: [] for name in states}
        for turn in range(TURNS):
            for name, store in states.items():
                turns[name].append(one_turn(store, users, turn))
                print(f"bench state: {name}: {turns[name][-1]}", file=sys.stderr, flush=True)
        tables = states["postgres"]
        assert isinstance(tables, PostgresUserStore)
        notify = measure(own_url, tables, random_append(users, _user, _item), CALLS, THREADS, TURNS)
    found = {name: {"load_s": loaded[name], **medians(some)} for name, some in turns.items()}
    ratios = {
        kind: round(found["postgres"][f"{kind}_per_s"] / found["sqlite"][f"{kind}_per_s"], 2)
        for kind in ("append", "history", "state")
    }
    return {
        "ratio": ratios["append"], "ratios": ratios, "users": users, "items": ITEMS, "threads": THREADS, **found,
        "notify": notify,
    }  # fmt: skip


def database_of(args: Namespace) -> str:
    """The database's URL. Raises UserError without one."""
    if not (url := getattr(args, "database", None)):
        raise UserError(f"bench {args.name}: name a PostgreSQL database with --database postgresql://USER@HOST/NAME")
    return str(url)


@contextmanager
def _states(url: str) -> Iterator[tuple[dict[str, UserStore], str]]:
    """A new store of each back end, removed at the end; and the URL of the one in the database."""
    with own_schema(url) as own_url, tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        states = {"sqlite": ServiceState(Path(folder)), "postgres": ServiceState(Path(folder), own_url)}
        yield {name: state.create_users(BUCKETS, "bench") for name, state in states.items()}, own_url


@contextmanager
def own_schema(url: str) -> Iterator[str]:
    """The URL of a new schema of a database, which is removed at the end."""
    schema = f"hydra_ray_bench_{uuid.uuid4().hex[:8]}"
    whole = Database(url)
    whole.write(ALL_TENANTS, lambda cursor: cursor.execute(f"CREATE SCHEMA {schema}"), wait_s=0.0)
    try:
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"
    finally:
        whole.write(ALL_TENANTS, lambda cursor: cursor.execute(f"DROP SCHEMA {schema} CASCADE"))
        whole.close()


def load(store: UserStore, users: int) -> float:
    """Seconds to import them."""
    began = time.perf_counter()
    for first in range(0, users, LOADED_AT_ONCE):
        batch: dict[int, list[tuple[UserKey, list[HistoryItem]]]] = {}
        for number in range(first, min(users, first + LOADED_AT_ONCE)):
            user = _user(number)
            items = [_item(number, i) for i in range(ITEMS)]
            batch.setdefault(bucket_of(user.stored, BUCKETS), []).append((user, items))
        for bucket, some in batch.items():
            store.import_users(bucket, some)
    return round(time.perf_counter() - began, 2)


def one_turn(store: UserStore, users: int, turn: int) -> Figures:
    """CALLS of each kind for random users, THREADS at a time: how many a second, and 95 % of them within how long."""
    figures: Figures = {}
    calls: dict[str, Callable[[int, int], object]] = {
        "append": lambda user, call: store.append(_user(user), [_item(user, ITEMS + turn * CALLS + call)]),
        "history": lambda user, call: store.history(_user(user)),
        "state": lambda user, call: store.state(_user(user)),
    }
    for kind, work in calls.items():
        chosen = random.Random(turn).choices(range(users), k=CALLS)
        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            took = list(pool.map(lambda call, work=work, chosen=chosen: _timed(work, chosen[call], call), range(CALLS)))
        figures[f"{kind}_per_s"] = round(CALLS / (time.perf_counter() - began), 1)
        figures[f"{kind}_p95_ms"] = round(1e3 * quantiles(took, n=20)[-1], 2)
    return figures


def _timed(work: Callable[[int, int], object], user: int, call: int) -> float:
    began = time.perf_counter()
    work(user, call)
    return time.perf_counter() - began


def medians(turns: list[Figures]) -> Figures:
    """Of all turns, by figure."""
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


def _user(number: int) -> UserKey:
    return UserKey("bench", f"user{number:08d}")


def _item(user: int, i: int) -> HistoryItem:
    text = " ".join(f"word{(user * 31 + i * 7 + word) % 997}" for word in range(WORDS))
    return HistoryItem(f"item{i}", text, text, "yes", "2024-01-01")
