"""Load on a service, from a process of its own: `python -m hydra_ray.bench.serve_load` reads a `Load` as JSON from
standard input and writes its `Seen` as JSON to standard output. Connections are kept alive.

closed: `clients` loops, each with one request at a time. open: arrivals as in a Poisson process of `rate`, whatever
comes back; a latency counts from the moment its request was due (else a stalled service would hide its own stall).
"""

import asyncio
import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import aiohttp

from hydra_ray.bench.serve_texts import make_text, user_id, vocabulary

TIMEOUT_S = 60.0
CONNECTION_ERROR = 0
"""Stands for the status where there is none."""
MODEL = "bench"
_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Load:
    """url: of the service. users: indices below this are asked for. zipf: exponent of user i's share, (i + 1)^-zipf (0:
    all alike; the index of every user is shuffled first). in_turn: one after the other instead of drawn. traced:
    `/v1/personalize` instead of the chat endpoint. seconds, requests: when to stop, whichever comes first (0: does not
    count). seed: of users and queries; queries of different seeds are different texts."""

    url: str
    users: int
    seed: int
    mode: Literal["closed", "open"] = "closed"
    clients: int = 1
    rate: float = 0.0
    seconds: float = 0.0
    requests: int = 0
    zipf: float = 0.0
    in_turn: bool = False
    traced: bool = False


@dataclass
class Seen:
    """One entry per request, in the order in which they ended. wall_ms: as the client saw it. retry_after: whether a
    429 had the header. ms: the traces' milliseconds per stage. degraded: reasons -> answers with them. seconds: from
    the first request to the end of the last; ended_s: when each ended, from the beginning."""

    status: list[int] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    retry_after: int = 0
    ms: list[dict[str, float]] = field(default_factory=list)
    degraded: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def walls(self, status: int = 200) -> list[float]:
        """Milliseconds of the requests that ended so."""
        return [ms for ms, one in zip(self.wall_ms, self.status, strict=True) if one == status]

    def count(self, lowest: int, highest: int) -> int:
        """How many ended with such a status."""
        return sum(lowest <= status <= highest for status in self.status)


def run_load(load: Load) -> Seen:
    """Makes the load in a second process. Raises RuntimeError if it cannot."""
    done = subprocess.run(
        [sys.executable, "-m", "hydra_ray.bench.serve_load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    return Seen(**json.loads(done.stdout))


class Generator:
    """One load, in this process."""

    def __init__(self, load: Load) -> None:
        self._load, self._seen = load, Seen()
        self._rng = random.Random(load.seed)
        self._words = vocabulary()
        self._users = self._draw_users()
        self._sent = 0
        self._began = 0.0

    def _draw_users(self) -> Iterator[int]:
        load = self._load
        if load.in_turn:
            yield from itertools.cycle(range(load.users))
        order = list(range(load.users))
        random.Random(0).shuffle(order)
        weights = list(itertools.accumulate((i + 1) ** -load.zipf for i in range(load.users)))
        while True:
            yield from self._rng.choices(order, cum_weights=weights, k=64)

    async def run(self) -> Seen:
        """What came back."""
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
            self._began = time.perf_counter()
            if self._load.mode == "closed":
                await asyncio.gather(*(self._loop(session) for _ in range(self._load.clients)))
            else:
                await self._arrivals(session)
            self._seen.seconds = time.perf_counter() - self._began
        return self._seen

    def _more(self) -> bool:
        load = self._load
        late = load.seconds > 0 and time.perf_counter() - self._began >= load.seconds
        return not late and (load.requests == 0 or self._sent < load.requests)

    async def _loop(self, session: aiohttp.ClientSession) -> None:
        while self._more():
            await self._one(session, time.perf_counter())

    async def _arrivals(self, session: aiohttp.ClientSession) -> None:
        due, open_ones = self._began, set[asyncio.Task[None]]()
        while self._more():
            due += self._rng.expovariate(self._load.rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._one(session, due))
            open_ones.add(task)
            task.add_done_callback(open_ones.discard)
        await asyncio.gather(*open_ones)

    async def _one(self, session: aiohttp.ClientSession, due: float) -> None:
        self._sent += 1
        user, query = user_id(next(self._users)), make_text(self._rng, self._words)
        seen, body = self._seen, dict[str, Any]()
        url, data = self._request(user, query)
        try:
            async with session.post(url, data=data, headers=_HEADERS) as response:
                data = await response.read()
                status = response.status
                seen.retry_after += status == 429 and "Retry-After" in response.headers
                body = json.loads(data) if status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = CONNECTION_ERROR
        now = time.perf_counter()
        seen.status.append(status)
        seen.wall_ms.append(round(1000 * (now - due), 3))
        seen.ended_s.append(round(now - self._began, 3))
        about = body.get("trace") or body.get("hydra") or {}
        if "ms" in about:
            seen.ms.append(about["ms"])
        for entry in about.get("degraded", []):
            seen.degraded[entry["reason"]] = seen.degraded.get(entry["reason"], 0) + 1

    def _request(self, user: str, query: str) -> tuple[str, bytes]:
        load = self._load
        if load.traced:
            return f"{load.url}/v1/personalize", _json({"user_id": user, "query": query})
        messages = [{"role": "user", "content": query}]
        return f"{load.url}/v1/chat/completions", _json({"model": MODEL, "user": user, "messages": messages})


def _json(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree).encode()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 by nearest rank; nothing for no values."""
    ranked = sorted(values)
    return {
        f"p{percent}": round(ranked[math.ceil(percent / 100 * len(ranked)) - 1], 2)
        for percent in (50, 95, 99)
        if ranked
    }


def main() -> None:
    """Reads a load, makes it, writes what was seen."""
    load = Load(**json.load(sys.stdin))
    json.dump(asdict(asyncio.run(Generator(load).run())), sys.stdout)


if __name__ == "__main__":
    main()
