"""Given the same samples, the service answers what the main job's evaluation answers."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import RecordEvidence
from hydra_ray.core.evidence import answer_profile, own_answers
from hydra_ray.core.prompts import Message
from hydra_ray.core.records import User
from hydra_ray.core.retrieval import make_retriever
from hydra_ray.core.tasks import load_task
from hydra_ray.pipeline.evaluation import answer_table
from hydra_ray.pipeline.makers import EvaluateMaker
from hydra_ray.pipeline.rows import QUERY_SCHEMA, query_row
from hydra_ray.serve.bundle import MODULES, Bundle
from hydra_ray.serve.config import ScorerConfig
from hydra_ray.serve.personaliser import Personaliser
from hydra_ray.serve.scoring import BatchScorer
from hydra_ray.serve.types import Ask, Found, Sampled, Scored, Scoring, UserKey, UserState
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.user_heads import new_store
from tests.pipeline.fitted_world import users
from tests.serve.world import make_bundle, make_stores

TASK = load_task("synthetic_tagging")
TEST = [(user, bucket) for user, bucket in users() if user.split == "test"]


def write_run(folder: Path, evidence: RecordEvidence) -> tuple[Bundle, dict[str, Path], Personaliser]:
    """The evaluation's rows with drawn samples; users' heads in a run's folders (returned) and in the service's."""
    bundle = make_bundle(folder, evidence=evidence)
    own = make_stores(bundle, folder)
    rng = np.random.default_rng(0)
    artifacts = {}
    for module in MODULES:
        spec = own[module].spec
        drawn = {n: rng.normal(size=(len(TEST), *s)).astype(np.float32) for n, s in spec.shapes.items()}
        ids = [user.user_id for user, _ in TEST]
        artifacts[module] = folder / f"fit-{module}"
        artifacts[module].mkdir()
        new_store(artifacts[module], spec).put(ids, drawn)
        own[module].put([UserKey("t", user).stored for user in ids], drawn)
    base = bundle.base["reranker"]
    rerankers = {"hydra": (base, artifacts["reranker"]), "shared": (base, None)}
    make = EvaluateMaker(bundle.config.model_dump(mode="json"), 0, None, rerankers, {}, None)
    draw = random.Random(0)
    rows, answered, samples = [], [], {}
    bucket_of = {user.user_id: bucket for user, bucket in TEST}
    for user, asked in make([user for user, _ in TEST]):
        row = query_row(user, bucket_of[user.user_id], asked)
        texts = [[draw.choice(TASK.labels) for _ in range(request.n)] for request in asked[1]]
        rows.append(row)
        answered.append({k: row[k] for k in ("row_id", "user_id", "bucket", "query_id")} | {"texts": texts})
        place = asked[3]["methods"].index("samples:hydra")
        samples[asked[1][place].messages[0]["content"]] = texts[place]
    for name, table in (
        ("queries", pa.Table.from_pylist(rows, schema=QUERY_SCHEMA)),
        ("answers", pa.Table.from_pylist(answered)),
    ):
        (folder / "evaluated" / name).mkdir(parents=True)
        pq.write_table(table, folder / "evaluated" / name / "part.parquet")
    scorer = BatchScorer(bundle, folder, ScorerConfig())
    return bundle, artifacts, Personaliser(bundle, Histories(), Direct(scorer), Replay(samples), scorer.evidence)


class Histories:
    """Each test user's history at the question, retrieved as the main job does."""

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> Found:
        whose: User = next(u for u, _ in TEST if u.user_id == user.user_id)
        question = next(q for q in whose.questions if q.text == query)
        history = whose.history_of(question)
        top = make_retriever("bm25", history).top(query, n)
        own = answer_profile(own_answers(TASK, [item.answer for item in history]))
        return Found.of(top, history, own, UserState(len(history), 1))


class Direct:
    """The scorer in this process."""

    def __init__(self, scorer: BatchScorer) -> None:
        self.scorer = scorer

    async def score(self, scoring: Scoring, deadline: float) -> Scored:
        return self.scorer.score([scoring])[0]


class Replay:
    """The samples that the evaluation drew for the same prompt; another prompt has none."""

    def __init__(self, samples: dict[str, Sequence[str]]) -> None:
        self.samples = samples

    async def sample(self, messages: Sequence[Message], **settings: object) -> Sampled:
        return Sampled(tuple(self.samples[messages[-1]["content"]]))


@pytest.mark.parametrize("evidence", get_args(RecordEvidence))
def test_every_question_gets_the_evaluations_answer(tmp_path: Path, evidence: RecordEvidence) -> None:
    bundle, artifacts, personaliser = write_run(tmp_path, evidence)
    adapter = TrainedScorer.load(bundle.base["adapter"], artifacts["adapter"])
    table = answer_table(TASK, 0, tmp_path / "evaluated", {"hydra": adapter, "shared": adapter}, bundle.config.adapter)
    assert len(table) == len(TEST)
    for row in table:
        user = next(u for u, _ in TEST if u.user_id == row.user_id)
        question = next(q for q in user.questions if q.question_id == row.question_id)
        made = asyncio.run(personaliser.answer(UserKey("t", user.user_id), Ask(question.text), "r"))
        assert made.answer == row.answers["hydra"]
        assert made.trace.versions.own_heads == ["reranker", "adapter"]
