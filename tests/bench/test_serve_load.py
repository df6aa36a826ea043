"""What a load counts."""

import asyncio
from typing import Any

from aiohttp import web

from hydra_ray.bench.serve_load import Generator, Load, Seen, percentiles
from hydra_ray.bench.serve_texts import user_id


async def load_on(answer: Any, load: Any) -> Seen:
    """What a load sees of a server that answers so."""
    app = web.Application()
    app.router.add_post("/v1/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return await Generator(load(f"http://127.0.0.1:{runner.addresses[0][1]}")).run()
    finally:
        await runner.cleanup()


def test_closed_loops_stop_after_so_many_requests_and_count_statuses() -> None:
    users: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        users.append((await request.json())["user"])
        if len(users) % 2:
            return web.Response(status=429, headers={"Retry-After": "1"})
        lack = {"reason": "user_unknown"}
        return web.json_response({"hydra": {"degraded": [lack]}})

    seen = asyncio.run(load_on(answer, lambda url: Load(url, 3, 0, clients=2, requests=10, in_turn=True)))
    assert sorted(seen.status) == [200] * 5 + [429] * 5
    assert seen.retry_after == 5
    assert seen.degraded == {"user_unknown": 5}
    assert set(users) == {user_id(i) for i in range(3)}


def test_an_open_load_arrives_at_its_rate_however_slow_the_answers() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.json_response({})

    seen = asyncio.run(load_on(answer, lambda url: Load(url, 9, 0, "open", rate=100, seconds=1.0, zipf=1.1)))
    assert 60 < len(seen.status) < 150
    assert min(seen.wall_ms) >= 300


def test_percentiles_are_nearest_ranks() -> None:
    assert percentiles([float(i) for i in range(1, 101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([]) == {}
