"""The plain service that ours is measured against: the same parts in one process, as one would write it first.

    python -m hydra_ray.bench.serve_plain RUN LLM_URL PORT [remember]

FastAPI and uvicorn. Histories are in memory; each request makes its user's BM25 index, and scores one pair of texts at
a time, one request at a time, with the same bases and heads as ours and the same orchestration (`InferencePipeline`),
so the answers are the same. It encodes what each pair needs; `remember`: embeddings of texts are kept for ever. Nothing
is durable, no request is refused, there are no keys, no limits, no metrics.
"""

import asyncio
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request

from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.reader import read_users
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.types import (
    Component,
    PersonalizeRequest,
    RetrievalResult,
    ScoreRequest,
    ScoreResult,
    UserKey,
    UserState,
)
from hydra_ray.models.encoder import TextEncoder, encode_texts
from hydra_ray.models.text_embeddings import RememberedEmbeddings
from hydra_ray.serve.batch_scorer import set_threads
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts, load_run_artifacts
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, base_feature_width, fingerprint, load_scorer
from hydra_ray.training.artifacts.user_heads import UserHeads
from hydra_ray.training.joint.ranking_examples import RankingExample

CONNECTIONS = 64
TENANT = "default"


class PlainRetriever:
    """See `hydra_ray.inference.types.RetrieverProtocol`."""

    def __init__(self, bundle: RunArtifacts) -> None:
        self._bundle = bundle
        self._items: Mapping[str, tuple[HistoryItem, ...]] = {u.user_id: u.items for u in read_users(bundle.users)}

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        del deadline
        items = self._items.get(user.user_id)
        if items is None:
            return RetrievalResult()
        index = HistoryIndex(items, self._bundle.task, self._bundle.config.retrieval, self._bundle.seed)
        return index.retrieve(query, n, state=UserState(len(items), 1))


class PlainScorer:
    """See `hydra_ray.inference.types.ScorerProtocol`. Never waits, so one request is scored at a time."""

    def __init__(self, bundle: RunArtifacts, remember: bool) -> None:
        encoder = TextEncoder(bundle.config.model)
        encode: TextEncode = partial(encode_texts, encoder)
        if remember:
            encode = RememberedEmbeddings(bundle.config.model, encoder)
        self._scorers = {
            component: TrainedScorer(load_scorer(bundle.base[component]), _heads(bundle, component), encode=encode)
            for component in COMPONENTS
        }

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        del deadline
        scorer = self._scorers[scoring.component]
        user = UserKey.of_stored(scoring.user).user_id if scoring.user else ""
        features = scoring.features or [()] * len(scoring.texts)
        examples = (
            RankingExample(user, 0, "", scoring.query, (text,), (0.0,), (numbers,) if numbers else ())
            for text, numbers in zip(scoring.texts, features, strict=True)
        )
        scores = [scorer.score([example])[0] for example in examples]
        return ScoreResult(tuple(np.concatenate(scores).tolist()), bool(user), 1)


def _heads(bundle: RunArtifacts, component: Component) -> UserHeads | None:
    """The fitted users' heads, read as they are asked for."""
    return UserHeads.open(bundle.heads[component][-1].resolve(), fingerprint(bundle.base[component]))


def make_app(bundle: RunArtifacts, llm_url: str, remember: bool) -> FastAPI:
    """The application."""
    numbers = {component: base_feature_width(base) for component, base in bundle.base.items()}
    samples = LLMClientAdapter(bundle.config.llm, llm_url, CONNECTIONS)
    builder = PromptBuilder(bundle.config, bundle.seed)
    retriever, scorer = PlainRetriever(bundle), PlainScorer(bundle, remember)
    inference = InferencePipeline(builder, retriever, scorer, samples, numbers, run=bundle.name)
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        body = await request.json()
        ask = PersonalizeRequest(body["messages"][-1]["content"])
        made = await inference.personalize(UserKey(TENANT, body["user"]), ask, "")
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": made.answer}}]}

    @app.post("/v1/personalize")
    async def personalize(request: Request) -> Any:
        body = await request.json()
        return await inference.personalize(UserKey(TENANT, body["user_id"]), PersonalizeRequest(body["query"]), "")

    return app


def main() -> None:
    """Serves until the process ends."""
    import uvicorn

    run, llm_url, port, *more = sys.argv[1:]
    set_threads(1)  # as ours: a second thread spins while it waits, and was slower next to load and black box
    app = make_app(load_run_artifacts(Path(run)), llm_url, "remember" in more)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=int(port), log_level="warning"))
    asyncio.run(server.serve())


if __name__ == "__main__":
    main()
