"""A ledger is reached in the same way in this process and through an actor."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.response_cache_ports import ActorPort, LocalPort, ResponseCachePort


class Handle:
    """Of an actor: every method of the ledger, behind `.remote`."""

    def __init__(self, ledger: ResponseCache) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        ledger = self._ledger

        class Method:
            @staticmethod
            async def remote(*values: Any) -> Any:
                return getattr(ledger, name)(*values)

        return Method


@pytest.mark.parametrize("how", ["local", "actor"])
def test_what_is_noted_is_found(tmp_path: Path, how: str) -> None:
    ledger = ResponseCache(tmp_path / "ledger.sqlite", "run", max_calls=1)
    port: ResponseCachePort = LocalPort(ledger) if how == "local" else ActorPort(Handle(ledger))
    record: Any = {"texts": ["x"], "prompt_tokens": 1, "completion_tokens": 2}

    async def use() -> list[Any]:
        (granted,) = await port.exchange([], [0.0], 0, [5.0])
        refused = await port.exchange([CallOutcome(granted, "k", record, calls=1)], [0.0], 3, [5.0])
        found = await port.get_many(("k", "other"))
        return [granted > 0, refused[0] > 0, found[0] and found[0]["texts"], found[1], await port.budget_message(),
                await port.pause_s(5.0)]  # fmt: skip

    first, second, texts, missing, message, pause_s = asyncio.run(use())
    assert (first, second, texts, missing) == (True, False, ["x"], None)
    assert "1" in message
    assert pause_s <= 0
    assert (ledger.done(), ledger.counts().calls) == (3, 1)
