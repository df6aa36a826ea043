"""What fitter and gateway report."""

import asyncio
from pathlib import Path

import pytest

from hydra_ray.serve.clients.llm import LLMCounts
from hydra_ray.serve.config import FitterConfig, GatewayConfig
from hydra_ray.serve.deployments import fitter, gateway
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.observability.metrics import Calls, Meters
from hydra_ray.serve.state.folders import USERS
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from tests.serve.world import BUCKETS, make_bundle, make_stores

URL = "http://127.0.0.1:9/v1"


class Handle:
    """A deployment that is never called."""

    def options(self, **_: object) -> "Handle":
        return self


def test_gateway_and_fitter_report_their_calls_and_log_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Calls] = []
    logging: list[object] = []
    monkeypatch.setattr(Meters, "watch_llm", lambda self, calls, up: reported.append(calls))
    monkeypatch.setattr(Meters, "_watch", lambda self, report: None)
    for module in (gateway, fitter):
        monkeypatch.setattr(module, "to_stream", lambda module=module: logging.append(module))
    closed: list[bool] = []
    monkeypatch.setattr(fitter, "private_from_now_on", lambda: closed.append(True))  # this process goes on
    bundle, state = make_bundle(tmp_path), tmp_path / "state"
    make_stores(bundle, state)
    SQLiteUserStore.create(state / USERS, BUCKETS)

    async def start() -> None:
        feature_widths, unused = dict.fromkeys(bundle.base, 0), Handle()
        keys = Keys.open("acme")
        front = gateway.Gateway(
            bundle, feature_widths, GatewayConfig(), URL, keys, None, False, ServiceState(state), unused, unused, unused
        )
        await front.__serve_build_asgi_app__()
        fitter.Fitter(bundle, ServiceState(state), URL, FitterConfig())._running.cancel()

    asyncio.run(start())
    assert [type(calls) for calls in reported] == [LLMCounts] * 2
    assert logging == [gateway, fitter]
    assert closed == [True]
