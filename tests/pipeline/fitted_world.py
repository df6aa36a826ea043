"""A small answered step, its ingested users and a random base, for tests of fitting."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import AutoConfig

from hydra_ray.config import Config
from hydra_ray.config.head_kinds import joint_kind
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.labeling import agreement_rows
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.models.scorer import PairScorer
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.pipeline.stage_rows import LabelRow, PromptedRow, rows_to_table
from hydra_ray.synth.world import make_user
from hydra_ray.training.artifacts.trained_scorer import save_base
from tests.training.tiny import make_encoder


def make_config(folder: Path, kind: str = "linear", few_in_driver: bool = True, **fit: Any) -> Config:
    model = {
        "encoder": str(folder / "encoder"),
        "pair": "bi_encoder",
        "pair_dim": 8,
        "max_tokens": 32,
        "dropout": 0.0,
        "head": kind,
    }
    whole = {
        "data": {"buckets": 8},
        "model": model,
        "fit": {"epochs": 5, "guard": 0, "l2": None if kind == "bayesian_linear" else 0.01, **fit},
    }
    return Config.model_validate({**whole, "root": str(folder / "runs"), "resources": {"few_in_driver": few_in_driver}})


def users() -> list[tuple[User, int]]:
    """Twelve users of the synthetic world with their buckets; every third is a training user."""
    made = [make_user("tagging", 0, i, (5, 6), 1).to_user() for i in range(12)]
    return [
        (User(u.user_id, "train" if i % 3 == 0 else "test", u.items, u.questions), bucket_of(u.user_id, 8))
        for i, u in enumerate(made)
    ]


def write_users(folder: Path) -> None:
    """The users as the ingest step leaves them."""
    everybody = users()
    for bucket in {bucket for _, bucket in everybody}:
        with BucketWriter(folder, bucket) as writer:
            for user in (user for user, its_bucket in everybody if its_bucket == bucket):
                writer.add(user)
    (folder / "counts.json").write_text('{"buckets": 8}')


def write_answers(folder: Path, queries: int = 4, more: str | None = None) -> None:
    """Queries that the users' own histories answer; `more`: a user who has one query more than the others."""
    task = load_task("synthetic_tagging")
    rows = [
        (user, PromptedRow(LabelRow(row, (0.5,) * len(row.candidates), (1.0,) * len(row.candidates))))
        for user, _ in users()
        for row in agreement_rows(task, user, queries + (user.user_id == more), 3, 0)
    ]
    (folder / "queries").mkdir(parents=True)
    buckets = {user.user_id: bucket for user, bucket in users()}
    pq.write_table(rows_to_table(LabelRow, rows, buckets), folder / "queries" / "part.parquet")


def write_base(folder: Path, config: Config, name: str = "base", feature_width: int = 0, spread: float = 0.02) -> Path:
    """An untrained base, whose encoder knows the task's labels. spread: see `make_encoder`."""
    if not (folder / "encoder").exists():
        make_encoder(folder / "encoder", load_task("synthetic_tagging").labels, spread)
    width = AutoConfig.from_pretrained(folder / "encoder").hidden_size
    torch.manual_seed(0)
    model = config.model.model_copy(update={"head": joint_kind(config.model.head)})
    scorer = PairScorer(model, None, width, True, feature_width)
    save_base(scorer.state_dict(), model, width, feature_width, folder / name)
    return folder / name


def make_fit(folder: Path, config: Config, answered: Path, previous: Path | None = None) -> FitSpec:
    features = folder / f"features-{answered.name}"
    chosen = tuple(user.user_id for user, _ in users() if user.split == "test")
    return FitSpec(config, "reranker", config.model.head, ("test",), chosen, answered, folder / "ingest",
               folder / "base", None, features, previous, None)  # fmt: skip
