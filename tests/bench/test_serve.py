"""The serving bench, tiny: what it counts, and that both services it compares say the same."""

import asyncio
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from hydra_ray.bench import serve, serve_latency, serve_overload, serve_ratio
from hydra_ray.bench.serve_load import Generator, Load, Seen, percentiles
from hydra_ray.bench.serve_plain import PlainRetriever, PlainScorer
from hydra_ray.bench.serve_texts import CANDIDATES, labels, user_id, vocabulary
from hydra_ray.bench.serve_world import make_run
from hydra_ray.errors import UserError
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.types import (
    LLMResponse,
    PersonalizeRequest,
    RetrievalResult,
    ScoreRequest,
    ScoreResult,
    UserKey,
)
from hydra_ray.llm.types import Request
from hydra_ray.serve.batch_scorer import BatchScorer
from hydra_ray.serve.bundle import load_run_artifacts
from hydra_ray.serve.config import ScorerConfig
from hydra_ray.serve.history_retriever import Histories
from hydra_ray.serve.state.folders import USERS
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from tests.training.tiny import make_encoder


def tiny_in(folder: Path) -> dict[str, Any]:
    return {"encoder": str(make_encoder(folder / "encoder", vocabulary(), 0.5)), "max_tokens": 32}


class EveryLabel:
    """The instant black box, without HTTP."""

    async def sample(self, request: Request, **how: Any) -> LLMResponse:
        return LLMResponse(tuple(labels()[i % CANDIDATES] for i in range(request.n)))


class Ours:
    """Retriever and scorer of the service, without Ray."""

    def __init__(self, histories: Histories, scorer: BatchScorer) -> None:
        self._histories, self._scorer = histories, scorer

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        return self._histories.found(user, query, n)

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        return self._scorer.score([scoring])[0]


def test_the_plain_service_says_what_ours_says(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    bundle = load_run_artifacts(make_run(tmp_path / "run", 5, model=tiny_in(tmp_path)))
    init_state(bundle, ServiceState(tmp_path / "state"), "default", lambda line: None)
    store = SQLiteUserStore.open(tmp_path / "state" / USERS)
    scorer = BatchScorer(bundle, ServiceState(tmp_path / "state"), ScorerConfig())
    ours = Ours(Histories(store, bundle.config.retrieval, bundle.task, bundle.seed, 1 << 20), scorer)
    plain = PlainScorer(bundle, remember=False)
    parts: dict[str, tuple[Any, Any]] = {"ours": (ours, ours), "plain": (PlainRetriever(bundle), plain)}
    builder, llm = PromptBuilder(bundle.config, bundle.seed), EveryLabel()
    pipelines = {
        name: InferencePipeline(builder, *two, llm, scorer.feature_widths, run="run")  # type: ignore[arg-type]
        for name, two in parts.items()
    }
    for index in range(5):
        user = UserKey("default", user_id(index))
        answers = {
            name: asyncio.run(who.personalize(user, PersonalizeRequest("Some words here."), ""))
            for name, who in pipelines.items()
        }
        ours_trace, plain_trace = answers["ours"].trace, answers["plain"].trace
        assert not ours_trace.degraded
        assert len(ours_trace.candidates) == CANDIDATES
        assert len(ours_trace.retrieved) == 10
        for one, other in (
            ({i.item_id: i.reranker for i in trace.retrieved} for trace in (ours_trace, plain_trace)),
            ({c.text: c.adapter for c in trace.candidates} for trace in (ours_trace, plain_trace)),
        ):
            assert len(set(one.values())) > 1
            assert one == pytest.approx(other, abs=1e-4)


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


def test_an_unknown_part_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no such part"):
        serve.run(Namespace(parts="latency,speed"))


@pytest.mark.cluster
def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "USERS", 8)
    monkeypatch.setattr(serve_latency, "CLIENTS", (1, 4))
    monkeypatch.setattr(serve_latency, "ROUNDS", 1)
    monkeypatch.setattr(serve_ratio, "REPEATS", 1)
    monkeypatch.setattr(serve_ratio, "AT_ONCE", 8)
    monkeypatch.setattr(serve_ratio, "USERS_REPEATS", 1)
    monkeypatch.setattr(serve_overload, "LEVELS", (8,))
    monkeypatch.setattr(serve_overload, "TURNS", 1)
    args = Namespace(parts="latency,plain,users,overload", seconds=3.0, model=tiny_in(tmp_path))
    found = serve.run(args)
    for clients in ("1", "4"):
        figures = found["latency"]["clients"][clients]
        assert 0 < figures["added_ms"]["p50"] <= figures["added_ms"]["p99"]
        assert figures["cpu_ms_per_request"]["scorer"] > 0
    rates = found["plain"]["requests_per_s"]
    assert found["ratio"] == pytest.approx(rates["ours"] / rates["plain"], rel=0.02)
    assert found["users"]["ratio"] > 0
    overload = found["overload"]
    assert overload["statuses_5xx"] == overload["connection_errors"] == 0
    assert overload["goodput_per_s"][0] > 0
    before, after = overload["closed_loops_per_s"]
    assert overload["ratio"] == pytest.approx(2 * overload["goodput_per_s"][0] / (before + after), rel=0.02)
