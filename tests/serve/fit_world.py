"""An untrained run, to fit users of, and a black box that answers by a hash, or fails by one."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import Config
from hydra_ray.core.hashing import bucket_of, stable_seed
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.inference.types import Component, LLMDownError, LLMProtocol, LLMResponse
from hydra_ray.llm.request_columns import requests_from_structs
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.fit_buckets import FitBuckets, MixBuckets
from hydra_ray.pipeline.fit_records import record_file
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.pipeline.stage_prompts import GeneratePrompts, LabelPrompts
from hydra_ray.pipeline.stage_rows import rows_to_table
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.fitter.user_fitter import UserFitter
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.synth.world import make_user
from hydra_ray.training.artifacts.trained_scorer import load_scorer
from hydra_ray.training.artifacts.user_heads import FOLDER, new_store
from tests.pipeline.fitted_world import make_config, write_base

LABELS = load_task("synthetic_tagging").labels
DOWN = LLMDownError("gone")


def answer_of(request: Request) -> tuple[str, ...]:
    """n answers; of one request in four none."""
    draw = stable_seed(request.messages[0]["content"], request.seed)
    return () if draw % 4 == 0 else tuple(LABELS[stable_seed(draw, i) % 4] for i in range(request.n))


@dataclass
class BlackBox:
    """Samples that are `answer`'s; where it gives none, `error` is raised."""

    answer: Callable[[Request], tuple[str, ...]] = answer_of
    error: Exception = DOWN
    requests: list[Request] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            texts = self.answer(request)
            if not texts:
                raise self.error
            return LLMResponse(texts)
        finally:
            self.in_flight -= 1


@dataclass
class World:
    """A bundle and empty head stores; `users` are not the run's training users."""

    folder: Path
    bundle: RunArtifacts
    users: list[User]
    stores: dict[Component, HeadStore | None] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, kind: str = "linear", users: int = 3) -> "World":
        plain = make_config(folder, kind).model_dump(mode="json")
        plain["protocol"]["pseudo_queries"] = 4
        plain["retrieval"]["top_n"] = 3
        plain["reranker"] |= {"top_k": 2, "features": "score_and_recency", "num_history_queries": 3}
        plain["adapter"] |= {"num_samples": 3, "num_history_queries": 3}
        config = Config.model_validate(plain)
        base = {
            component: write_base(folder, config, component, feature_width(config, component))
            for component in COMPONENTS
        }
        tuned: dict[Component, Any] = {
            component: {"precision": [1.0] * (8 + feature_width(config, component) + 1)}
            if kind == "bayesian_linear"
            else {"l2": 0.01}
            for component in COMPONENTS
        }
        # Records that no question hides: what a service knows of a user.
        made = [make_user("tagging", 0, i, (8, 9), 1).to_user() for i in range(users)]
        known = [User(user.user_id, "test", user.items) for user in made]
        for bucket in {bucket_of(user.user_id, config.data.buckets) for user in known}:
            with BucketWriter(folder / "ingest", bucket) as writer:
                for user in known:
                    if bucket_of(user.user_id, config.data.buckets) == bucket:
                        writer.add(user)
        (folder / "ingest" / "counts.json").write_text(json.dumps({"buckets": config.data.buckets}))
        bundle = RunArtifacts("run", config, 0, base, {}, tuned, folder / "ingest")
        world = cls(folder, bundle, known)
        for component in COMPONENTS:
            fit = world.job_fit(component, folder)
            shapes = load_scorer(base[component], config.model.head).head.delta_shapes()
            world.stores[component] = (
                new_store(folder / "state" / component, fit.spec(fit.scorer())) if shapes else None
            )
        return world

    def fitter(self, samples: LLMProtocol, **how: Any) -> UserFitter:
        return UserFitter(self.bundle, samples, self.stores, **how)

    def job_fit(self, component: Component, answered: Path) -> FitSpec:
        config, chosen = self.bundle.config, tuple(user.user_id for user in self.users)
        return FitSpec(config, component, config.model.head, ("test",), chosen, answered, self.bundle.users,
                   self.bundle.base[component], None, self.folder / "features" / component, None, None)  # fmt: skip

    def fitted_by_the_job(self) -> dict[Component, HeadStore]:
        """Every user's heads as `fit-users` makes them, through its files, in one process."""
        plain, folder = self.bundle.config.model_dump(mode="json"), self.folder / "job"
        self._answer(LabelPrompts(plain, 0, None), folder / "label")
        stores = {"reranker": self._fit("reranker", folder / "label", folder)}
        heads = {"test": folder / "reranker"}
        self._answer(GeneratePrompts(plain, 0, None, self.bundle.base["reranker"], heads, None), folder / "generate")
        return {**stores, "adapter": self._fit("adapter", folder / "generate", folder)}  # type: ignore[return-value]

    def _answer(self, maker: Any, folder: Path) -> None:
        buckets = self.bundle.config.data.buckets
        of_users = {user.user_id: bucket_of(user.user_id, buckets) for user in self.users}
        queries = rows_to_table(maker.KIND, maker(self.users), of_users)
        answers = [
            {name: row[name] for name in ("row_id", "user_id", "bucket")}
            | {"texts": [answer_of(request) for request in requests_from_structs(row["requests"])]}
            for row in queries.to_pylist()
            if row["requests"]
        ]
        for name, table in (("queries", queries), ("answers", pa.Table.from_pylist(answers))):
            (folder / name).mkdir(parents=True)
            pq.write_table(table, folder / name / "part.parquet")

    def _fit(self, component: Component, answered: Path, folder: Path) -> HeadStore:
        fit, out = self.job_fit(component, answered), folder / component
        store = new_store(out, fit.spec(fit.scorer()))
        work = MixBuckets if fit.kind == "mixture" else FitBuckets
        work(fit, self.bundle.tuned[component], out)({"buckets": [list(fit.by_bucket())]})
        store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in fit.by_bucket()], replace=True)
        return HeadStore.open(str(out / FOLDER))
