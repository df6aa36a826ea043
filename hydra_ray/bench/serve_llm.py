"""An instant black box in a process of its own: `python -m hydra_ray.bench.serve_llm PORT LABEL...`.

Whatever it is asked, its n samples are the labels in turn, in the same bytes each time: what is measured is everything
but the LLM.
"""

import json
import sys
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

TOKENS = {"prompt_tokens": 100, "completion_tokens": 16}


def serve(port: int, answers: Sequence[str]) -> None:
    """Answers on loopback until the process ends."""

    @lru_cache(maxsize=64)
    def answer(n: int) -> bytes:
        choices = [
            {"index": i, "message": {"role": "assistant", "content": answers[i % len(answers)]}} for i in range(n)
        ]
        return json.dumps({"choices": choices, "usage": TOKENS}).encode()

    async def chat(request: web.Request) -> web.Response:
        n = int(json.loads(await request.read()).get("n", 1))
        return web.Response(body=answer(n), content_type="application/json")

    async def models(request: web.Request) -> web.Response:
        del request
        return web.json_response({"data": [{"id": "instant"}]})

    app = web.Application(client_max_size=1 << 22)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
