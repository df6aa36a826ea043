"""Both services that are compared say the same."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra_ray.bench.serve_plain import PlainRetriever, PlainScorer
from hydra_ray.bench.serve_texts import CANDIDATES, labels, user_id
from hydra_ray.bench.serve_world import make_run
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
from hydra_ray.serve.state.user_store import UserStore
from tests.bench.tiny_world import tiny_in


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
    init_state(bundle, tmp_path / "state", "default", lambda line: None)
    store = UserStore.open(tmp_path / "state" / USERS)
    scorer = BatchScorer(bundle, tmp_path / "state", ScorerConfig())
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
