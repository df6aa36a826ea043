"""A chat server in this process that answers, fails, stalls or lies as a test tells it to."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Script = Callable[[int, dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse | None]


def completion(texts: list[str], prompt_tokens: int = 7, cut: Collection[int] = ()) -> web.Response:
    """cut: places of the texts whose `finish_reason` is `length`."""
    return web.json_response(
        {
            "choices": [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": t},
                    "finish_reason": "length" if i in cut else "stop",
                }
                for i, t in enumerate(texts)
            ],
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 2 * len(texts)},
        }
    )


def error(status: int, message: str = "no", **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


@dataclass
class FakeServer:
    """script: (number of the call from 0, its body) -> a response, or None for the echo that is the default.

    listing: (number of the request for `models` from 0) -> a response, or None for the list.
    """

    script: Script | None = None
    delay_s: float = 0.0
    models: list[str] | None = field(default_factory=lambda: ["m"])
    listing: Callable[[int], web.StreamResponse | None] = lambda number: None
    listed: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    url: str = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        number = len(self.bodies)
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        self.headers.append(dict(request.headers))
        self.urls.append(request.path_qs)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            answer = self.script(number, body) if self.script else None
            if isinstance(answer, Awaitable):
                answer = await answer
            return answer or self.echo(body)
        finally:
            self.in_flight -= 1

    def echo(self, body: dict[str, Any]) -> web.Response:
        return completion([f"{body['messages'][-1]['content']}/{i}" for i in range(body.get("n", 1))])

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        answer = self.listing(self.listed)
        self.listed += 1
        if answer is not None:
            return answer
        if self.models is None:
            return error(404)
        return web.json_response({"data": [{"id": name} for name in self.models]})


@asynccontextmanager
async def serve(fake: FakeServer, listening: socket.socket | None = None):
    """listening: a socket that listens already, in place of one on a free port of loopback."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.chat)
    app.router.add_get("/v1/models", fake.list_models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.SockSite(runner, listening) if listening else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    fake.url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


@contextmanager
def in_thread(fake: FakeServer, listening: socket.socket | None = None) -> Iterator[FakeServer]:
    """The server on a loop of its own, until the context ends. listening: as in `serve`."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def live() -> None:
        async with serve(fake, listening):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
