"""What is counted of the calls to the black box, and by whom."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import hydra_ray.serve.metric_names as names
from hydra_ray.serve.config import FitterConfig, GatewayConfig
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.llm import LLMCounts
from hydra_ray.serve.meters import Meters
from hydra_ray.serve.replicas import fitter, gateway
from hydra_ray.serve.state import USERS
from hydra_ray.serve.users import UserStore
from tests.serve.world import BUCKETS, make_bundle, make_stores


class Noted(Meters):
    """Counts in a list instead of through Ray, when told to."""

    def __init__(self, deployment: str) -> None:
        super().__init__(deployment)
        self.counted: list[tuple[str, float, dict[str, str]]] = []
        self.watched: list[object] = []

    def count(self, metric: names.Metric, by: float = 1.0, **tags: str) -> None:
        if by > 0:
            self.counted.append((metric.name, by, tags))

    def watch_llm(self, calls: Any) -> None:
        self.watched.append(calls)
        super().watch_llm(calls)

    def _watch(self, report: Any) -> None:
        self._watched.append(report)

    def report(self) -> None:
        for report in self._watched:
            report()


def test_calls_to_the_llm_are_reported_as_they_grow() -> None:
    meters, calls = Noted("Fitter"), LLMCounts()
    meters.watch_llm(calls)
    meters.report()
    assert meters.counted == []
    calls.retries, calls.prompt_tokens, calls.completion_tokens = 1, 20, 3
    meters.report()
    calls.prompt_tokens += 5
    meters.report()
    assert meters.counted == [
        ("hydra_llm_retries_total", 1, {}),
        ("hydra_llm_tokens_total", 20, {"kind": "prompt"}),
        ("hydra_llm_tokens_total", 3, {"kind": "completion"}),
        ("hydra_llm_tokens_total", 5, {"kind": "prompt"}),
    ]


class Handle:
    """A deployment that nobody calls."""

    def options(self, **_: object) -> "Handle":
        return self


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[Noted]:
    """The meters that the replicas make."""
    made: list[Noted] = []

    def make(deployment: str) -> Noted:
        made.append(Noted(deployment))
        return made[-1]

    for module in (gateway, fitter):
        monkeypatch.setattr(module, "Meters", make)
    monkeypatch.setattr(gateway, "to_stream", lambda: None)
    return made


def test_gateway_and_fitter_report_theirs(tmp_path: Path, noted: list[Noted]) -> None:
    bundle, state = make_bundle(tmp_path), tmp_path / "state"
    make_stores(bundle, state)
    UserStore.create(state / USERS, BUCKETS)
    url = "http://127.0.0.1:9/v1"

    async def go() -> None:
        front = gateway.Gateway(
            bundle, {"reranker": 0, "adapter": 0}, GatewayConfig(), url, Keys.open("acme"), Handle(), Handle(), Handle()
        )
        await front.__serve_build_asgi_app__()
        background = fitter.Fitter(bundle, state, url, FitterConfig())
        background._running.cancel()

    asyncio.run(go())
    assert [[type(calls) for calls in meters.watched] for meters in noted] == [[LLMCounts], [LLMCounts]]
