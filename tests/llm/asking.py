"""Requests to a client before a server made up in this process."""

import asyncio
from pathlib import Path

from hydra_ray.config import LLMConfig
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Request
from tests.llm.fake_server import FakeServer, serve

KEY = "sk-very-secret-0123456789"


VARIABLE = "HYDRA_RAY_TEST_KEY"


def ask(text: str, n: int = 1, seed: int | None = None) -> Request:
    temperature = 1.0 if n > 1 else 0.0  # greedy is one sample
    return Request(({"role": "user", "content": text},), temperature, n, max_tokens=4, seed=seed)


def go(tmp_path: Path, fake: FakeServer, requests, *, use_cache: bool = True, **settings):
    """The answers (or the error), and the ledger, of one complete() against the fake server."""
    budget = {k: settings.get(k) for k in ("max_calls", "max_cost")}
    ledger = ResponseCache(tmp_path / "ledger.sqlite", "run", **budget)

    async def inner():
        async with serve(fake):
            cfg = LLMConfig(
                **{"base_url": fake.url, "model": "m", "retry_backoff_s": 0.005, "api_key_env": VARIABLE, **settings}
            )
            async with LLMClient(cfg, ledger, identity="m", use_cache=use_cache) as client:
                return await client.complete(requests)

    return asyncio.run(inner()), ledger
