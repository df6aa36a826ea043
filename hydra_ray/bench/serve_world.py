"""A finished run without training: real sizes, random weights, so that it can be served and measured.

The folder looks as `hydra-ray run` leaves it (`hydra_ray.serve.bundle`). Encoder and settings are the main job's own
(MiniLM, `concepts`, `linear` heads, features); what is random is the base's weights, every user's heads and all texts
(`hydra_ray.bench.serve_texts`).
"""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hydra_ray.bench.serve_texts import TASK, labels, make_text, user_id, vocabulary
from hydra_ray.config import Config
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.inference.types import Component
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.scorer import PairScorer
from hydra_ray.pipeline.previous_run import STEPS
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.pipeline.step import MANIFEST
from hydra_ray.serve.bundle import COMPONENTS, REPORT
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.rows import Arrays
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import fingerprint, load_scorer, save_base
from hydra_ray.training.artifacts.user_heads import FOLDER

ITEMS = 10
HEADS_SPREAD = 0.1


def make_run(folder: Path, users: int, items: int = ITEMS, model: Mapping[str, Any] | None = None) -> Path:
    """Writes a run with so many users of so many items each into `folder`; returns the run's folder.

    model: settings of the config's `model` that are not the defaults.
    """
    config = Config.model_validate({"data": {"task": TASK}, "model": dict(model or {}), "name": "bench"})
    buckets: dict[int, list[int]] = {}
    for index in range(users):
        buckets.setdefault(bucket_of(user_id(index), config.data.buckets), []).append(index)
    ingested = folder / "steps" / "ingest-bench"
    _write_users(ingested, config, buckets, items)
    steps = {"ingest": ingested.name}
    for component in COMPONENTS:
        trained, fitted = (folder / "steps" / f"{step}-{component}-bench" for step in ("train", "fit"))
        _write_base(trained / config.model.head, config, component)
        _write_heads(fitted / FOLDER, trained / config.model.head, config, buckets)
        (trained / MANIFEST).write_text("{}")
        (fitted / MANIFEST).write_text(json.dumps({"counts": {"l2": 0.01}}))
        steps |= {f"train-{component} seed 0": trained.name, f"fit-{component} seed 0": fitted.name}
    run = folder / config.name
    run.mkdir()
    (run / REPORT).write_text(json.dumps({"config": config.model_dump(mode="json")}))
    (run / STEPS).write_text(json.dumps(steps))
    return run


def _write_users(folder: Path, config: Config, buckets: dict[int, list[int]], items: int) -> None:
    words, answers = vocabulary(), labels()
    for bucket, indices in sorted(buckets.items()):
        with BucketWriter(folder, bucket) as writer:
            for index in indices:
                writer.add(User(user_id(index), "test", tuple(_history(index, items, words, answers))))
    (folder / "counts.json").write_text(json.dumps({"buckets": config.data.buckets}))
    (folder / MANIFEST).write_text("{}")


def _history(index: int, items: int, words: list[str], answers: list[str]) -> Iterator[HistoryItem]:
    rng = random.Random(index)
    for i in range(items):
        text = make_text(rng, words)
        yield HistoryItem(f"i{i}", text, text, rng.choice(answers))


def _write_base(folder: Path, config: Config, component: Component) -> None:
    """Random weights of the shapes that training leaves."""
    torch.manual_seed(0)
    width = TextEncoder(config.model).width
    reads = feature_width(config, component)
    scorer = PairScorer(config.model, None, width, component == "reranker", reads)
    save_base(scorer.state_dict(), config.model, width, reads, folder, symmetric=component == "reranker")


def _write_heads(folder: Path, base: Path, config: Config, buckets: dict[int, list[int]]) -> None:
    shapes = load_scorer(base).head.delta_shapes()
    model = config.model
    spec = HeadSpec(model.head, model.pair_dim, model.rank, shapes, fingerprint(base), config.data.buckets)
    folder.parent.mkdir(parents=True, exist_ok=True)
    store = HeadStore.create(str(folder), spec)
    parts = [
        store.stage_heads(bucket, [user_id(i) for i in indices], _draws(spec, len(indices), bucket))
        for bucket, indices in sorted(buckets.items())
    ]
    store.publish(parts, replace=True)


def _draws(spec: HeadSpec, users: int, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        name: (HEADS_SPREAD * rng.standard_normal((users, *shape))).astype(np.float32)
        for name, shape in spec.shapes.items()
    }
