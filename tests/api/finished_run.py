"""A small finished run, trained by no one, with random heads and drawn answers: what `load_run` reads."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hydra_ray.config import Config
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.methods.question import Adapter, Reranker
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.pipeline.evaluation import answer_table, with_oracles
from hydra_ray.pipeline.job import always_shown
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.pipeline.stage_rows import EvalRow, rows_to_table
from hydra_ray.pipeline.step import MANIFEST
from hydra_ray.report import build_report, write_report
from hydra_ray.serve.bundle import COMPONENTS
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.synth.world import make_user
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, fingerprint, load_scorer
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, write_heads
from tests.pipeline.fitted_world import make_config, write_base

TASK = load_task("synthetic_tagging")
BUCKETS = 8


def made_users() -> list[User]:
    """Five test users, u00000001 and on, who ask one question after all their items."""
    made = [make_user("tagging", 0, i, (6, 7), 1).to_user() for i in range(1, 6)]
    return [
        replace(
            user,
            user_id=f"u{i:08d}",
            split="test",
            questions=tuple(replace(q, history=tuple(range(len(user.items)))) for q in user.questions),
        )
        for i, user in enumerate(made, 1)
    ]


def write_finished(folder: Path, name: str = "quickstart", **changes: Any) -> Path:
    """Writes `folder/runs/NAME`; the first user has no head of the adapter."""
    plain = make_config(folder, "linear").model_dump(mode="json") | {"name": name}
    plain["protocol"] |= {"pseudo_queries": 2, "seeds": [0]}
    plain["retrieval"]["top_n"] = 3
    plain["reranker"] |= {"top_k": 2, "features": "score_and_recency", "num_history_queries": 2}
    plain["adapter"] |= {"num_samples": 3, "num_history_queries": 2}
    plain["evaluate"]["paper"] = False
    for section, values in changes.items():
        plain[section] |= values
    config, users = Config.model_validate(plain), made_users()
    steps = {label: label.replace(" ", "-") for label in ("ingest", "evaluate seed 0")}
    for label in steps.values():
        _step(folder, label)
    _ingest(_step(folder, "ingest"), users)
    fits: dict[str, Path] = {}
    for component in COMPONENTS:
        train, fits[component] = _step(folder, f"train-{component}-0"), _step(folder, f"fit-{component}-0")
        base = write_base(folder, config, f"runs/steps/{train.name}/linear", feature_width(config, component), 0.5)
        _heads(fits[component], base, config, [u.user_id for u in users[component == "adapter" :]])
        steps |= {f"train-{component} seed 0": train.name, f"fit-{component} seed 0": fits[component].name}
    evaluated = _step(folder, "evaluate-seed-0")
    base = folder / "runs" / "steps" / "train-reranker-0" / "linear"
    _evaluate(evaluated, config, users, {"hydra": (base, fits["reranker"]), "shared": (base, None)})
    run = folder / "runs" / name
    write_steps(run, steps)
    base = folder / "runs" / "steps" / "train-adapter-0" / "linear"
    adapters: dict[Adapter, TrainedScorer] = {
        "hydra": TrainedScorer.load(base, fits["adapter"]),
        "shared": TrainedScorer.load(base),
    }
    rows = answer_table(TASK, 0, evaluated, always_shown(), adapters, config)
    rows = with_oracles(TASK, rows, evaluated, config)
    report = build_report(TASK, rows, train_users=1, config=config.model_dump(mode="json"), resamples=100)
    write_report(run, report, TASK, rows)
    return run


def _step(folder: Path, name: str) -> Path:
    step = folder / "runs" / "steps" / name
    step.mkdir(parents=True, exist_ok=True)
    (step / MANIFEST).write_text(json.dumps({"counts": {"l2": 0.01}}))
    return step


def _ingest(step: Path, users: Sequence[User]) -> None:
    for bucket in {bucket_of(user.user_id, BUCKETS) for user in users}:
        with BucketWriter(step, bucket) as writer:
            for user in users:
                if bucket_of(user.user_id, BUCKETS) == bucket:
                    writer.add(user)
    (step / "counts.json").write_text(json.dumps({"buckets": BUCKETS}))


def _heads(fit: Path, base: Path, config: Config, users: Sequence[str]) -> None:
    model = config.model
    shapes = load_scorer(base, model.head).head.delta_shapes()
    spec = HeadSpec(model.head, model.pair_dim, model.rank, shapes, fingerprint(base), BUCKETS)
    by_bucket: dict[int, list[str]] = {}
    for user in users:
        by_bucket.setdefault(bucket_of(user, BUCKETS), []).append(user)
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype("f"))

    write_heads(
        fit,
        spec,
        [
            HeadsOfBucket(bucket, ids, {name: drawn(len(ids), *shape) for name, shape in shapes.items()})
            for bucket, ids in by_bucket.items()
        ],
    )


def _evaluate(
    step: Path, config: Config, users: Sequence[User], rerankers: dict[Reranker, tuple[Path, Path | None]]
) -> None:
    """The questions with answers drawn from the user's own, so that prompts differ by what they show."""
    draw, answers = random.Random(0), []
    plain = config.model_dump(mode="json")
    prompted = list(EvalPrompts(plain, 0, None, always_shown(), rerankers, {}, None)(users))
    queries = rows_to_table(EvalRow, prompted, {user.user_id: bucket_of(user.user_id, BUCKETS) for user in users})
    for (user, one), row in zip(prompted, queries.to_pylist(), strict=True):
        own = [item.answer for item in user.items]
        texts = [draw.choices(own, k=request.n) for request in one.requests]
        answers.append({k: row[k] for k in ("row_id", "user_id", "bucket", "query_id")} | {"texts": texts})
    for name, table in (("queries", queries), ("answers", pa.Table.from_pylist(answers))):
        (step / name).mkdir(parents=True)
        pq.write_table(table, step / name / "part.parquet")


def samples_of_evaluation(run: Path) -> dict[str, list[str]]:
    """Prompt -> the texts that the evaluation's answers hold for it."""
    step = run.parent / "steps" / "evaluate-seed-0"
    texts = {row["row_id"]: row["texts"] for row in pq.read_table(step / "answers").to_pylist()}
    found: dict[str, list[str]] = {}
    for row in pq.read_table(step / "queries").to_pylist():
        place = row["methods"].index("samples:hydra")
        found[row["requests"][place]["messages"][0]["content"]] = texts[row["row_id"]][place]
    return found
