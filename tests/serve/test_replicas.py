"""What the replicas of the service import, and what they set up."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_ray.serve.config import FitterConfig, GatewayConfig
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.llm import LLMCounts
from hydra_ray.serve.meters import Calls, Meters
from hydra_ray.serve.replicas import fitter, gateway
from hydra_ray.serve.state import USERS
from hydra_ray.serve.users import UserStore
from tests.serve.world import BUCKETS, make_bundle, make_stores

IMPORTED = """
import sys
import hydra_ray.serve.replicas.gateway, hydra_ray.serve.replicas.retriever
print(*{"torch", "transformers", "lance"} & set(sys.modules))
"""
URL = "http://127.0.0.1:9/v1"


def test_gateway_and_retriever_import_no_models_and_no_head_store() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class Handle:
    """A deployment that nobody calls."""

    def options(self, **_: object) -> "Handle":
        return self


def test_gateway_and_fitter_report_their_calls_and_log_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Calls] = []
    logging: list[object] = []
    monkeypatch.setattr(Meters, "watch_llm", lambda self, calls: reported.append(calls))
    monkeypatch.setattr(Meters, "_watch", lambda self, report: None)
    for module in (gateway, fitter):
        monkeypatch.setattr(module, "to_stream", lambda module=module: logging.append(module))
    bundle, state = make_bundle(tmp_path), tmp_path / "state"
    make_stores(bundle, state)
    UserStore.create(state / USERS, BUCKETS)

    async def start() -> None:
        evidence, nobody = dict.fromkeys(bundle.base, 0), Handle()
        keys = Keys.open("acme")
        front = gateway.Gateway(bundle, evidence, GatewayConfig(), URL, keys, nobody, nobody, nobody)
        await front.__serve_build_asgi_app__()
        fitter.Fitter(bundle, state, URL, FitterConfig())._running.cancel()

    asyncio.run(start())
    assert [type(calls) for calls in reported] == [LLMCounts] * 2
    assert logging == [gateway, fitter]
