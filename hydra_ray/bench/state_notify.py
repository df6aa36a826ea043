"""What PostgreSQL's LISTEN/NOTIFY would do for the caches of history servers: part of `bench state`.

A cache could hear of a user's new item instead of reading the user's revision with every question. Two things decide:
what a notification costs the append that sends it, and whether it is there before the next question.
"""

import math
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from statistics import median, quantiles

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.postgres.database import Cursor
from hydra_ray.serve.state.postgres.driver import conninfo, psycopg
from hydra_ray.serve.state.postgres.user_store import PostgresUserStore

CHANNEL = "hydra_ray_bench"
WAIT_S = 10.0
"""For a notification at most."""

Append = Callable[[int], tuple[UserKey, list[HistoryItem]]]
"""The n-th append of a random user's new item."""


def measure(
    url: str, store: PostgresUserStore, append: Append, calls: int, threads: int, turns: int
) -> dict[str, float]:
    """Appends with and without a notification in turn, then notifications against the next question.

    Returns:
        append_ratio: appends a second that notify over those that do not, medians of the turns. late: share of
        questions, asked by another process as soon as the append has returned, that came before the notification.
        p50_ms, p95_ms: from the append's return to the notification's arrival there; other threads append meanwhile.
    """
    numbers = iter(range(1, 1 << 60))
    per_s: dict[str | None, list[float]] = {None: [], "0": []}
    for turn in range(turns):
        for payload in sorted(per_s, key=str, reverse=turn % 2 == 1):  # neither always comes first
            work = partial(_append_next, store, append, numbers, payload)
            per_s[payload].append(_per_s(work, calls, threads))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_other_node, args=(url, theirs), daemon=True)
    other.start()
    over = threading.Event()

    def others_append() -> None:
        while not over.is_set():
            _append_next(store, append, numbers, "0")

    load = [threading.Thread(target=others_append, daemon=True) for _ in range(threads - 1)]
    late, waits_ms = 0, []
    try:
        ours.recv()
        for thread in load:
            thread.start()
        for number in range(1, calls + 1):
            _append_next(store, append, numbers, str(number))
            returned = time.monotonic()
            ours.send(number)
            was_there, heard = ours.recv()
            late += not was_there
            waits_ms.append(1e3 * max(0.0, heard - returned))
    finally:
        over.set()
        for thread in load:
            thread.join()
        other.terminate()
        other.join()
    return {
        "append_ratio": round(median(per_s["0"]) / median(per_s[None]), 2),
        "late": round(late / calls, 3),
        "p50_ms": round(median(waits_ms), 2),
        "p95_ms": round(quantiles(waits_ms, n=20)[-1], 2),
    }


def _append_next(store: PostgresUserStore, append: Append, numbers: Iterator[int], payload: str | None) -> None:
    """payload: of a notification in the append's transaction; None: there is none."""
    user, items = append(next(numbers))

    def work(cursor: Cursor) -> None:
        store._append(cursor, user, items)
        if payload is not None:
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    store._database.write(user.tenant, work)


def _per_s(work: Callable[[], None], calls: int, threads: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(calls)]:
            done.result()
    return calls / (time.perf_counter() - began)


def _other_node(url: str, pipe: Connection) -> None:
    """Listens, and says of each number that it is sent whether it was heard by then, and when (seconds of the
    machine's clock)."""
    connection = psycopg().connect(**conninfo(url), autocommit=True)
    connection.execute(f"LISTEN {CHANNEL}")
    heard: dict[int, float] = {}
    news = threading.Condition()

    def listen() -> None:
        for note in connection.notifies():
            with news:
                heard[int(note.payload)] = time.monotonic()
                news.notify_all()

    def heard_at(number: int) -> float:
        with news:
            news.wait_for(lambda: number in heard, WAIT_S)
        return heard.get(number, math.inf)

    threading.Thread(target=listen, daemon=True).start()
    pipe.send("listening")
    while True:
        number = pipe.recv()
        was_there = number in heard
        pipe.send((was_there, heard_at(number)))


def random_append(users: int, user: Callable[[int], UserKey], item: Callable[[int, int], HistoryItem]) -> Append:
    """Appends of new items to users drawn at random."""
    drawn = random.Random(0)

    def append(number: int) -> tuple[UserKey, list[HistoryItem]]:
        one = drawn.randrange(users)
        return user(one), [item(one, (1 << 20) + number)]

    return append
