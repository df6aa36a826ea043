"""A black box whose answers say what it was shown: `python -m tests.serve.scripted_llm PORT`.

Each sample is the answer of one of the prompt's examples, drawn by a hash of prompt and sample; without examples,
`nobody`. `POST /pace {"seconds": s}` sets how long an answer takes; `GET /counts` tells what was asked and what the
clients left before the answer, `GET /traceparents` which traces the requests belong to.
"""

import asyncio
import json
import re
import sys

from aiohttp import web

from hydra_ray.core.hashing import stable_seed

NOBODY = "nobody"
"""The answer where the prompt holds no example."""

_EXAMPLE = re.compile(r"^Answer: (\w+)$", re.MULTILINE)


def samples_of(prompt: str, n: int) -> list[str]:
    """What is answered to a prompt."""
    shown = _EXAMPLE.findall(prompt) or [NOBODY]
    return [f"{shown[stable_seed(prompt, i) % len(shown)]}." for i in range(n)]


class Script:
    """seconds: of an answer. requests, left: all so far, and those whose client hung up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.requests = self.left = 0
        self.traceparents: list[str | None] = []

    async def chat(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.traceparents.append(request.headers.get("traceparent"))
        body = json.loads(await request.read())
        prompt = body["messages"][-1]["content"]
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.left += 1
            raise
        texts = samples_of(prompt, body.get("n") or 1)
        choices = [{"index": i, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(texts)}
        return web.json_response({"choices": choices, "usage": usage})

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "scripted"}]})

    async def pace(self, request: web.Request) -> web.Response:
        self.seconds = float((await request.json())["seconds"])
        return web.json_response({})

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response({"requests": self.requests, "left": self.left})

    async def traces(self, request: web.Request) -> web.Response:
        return web.json_response(self.traceparents)


if __name__ == "__main__":
    script = Script()
    app = web.Application(client_max_size=1 << 22)
    app.router.add_post("/v1/chat/completions", script.chat)
    app.router.add_get("/v1/models", script.models)
    app.router.add_post("/pace", script.pace)
    app.router.add_get("/counts", script.counts)
    app.router.add_get("/traceparents", script.traces)
    # Without it, aiohttp goes on with a request whose client has left.
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, handler_cancellation=True)
