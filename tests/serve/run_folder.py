"""A finished run's folder without any training: fifty users, random bases, and heads by which users can be told apart.

Every user has answers of their own (`w07a` is u07's alone), and the black box of `scripted_llm` answers with
what it reads in the prompt: a record, an answer or a head in the wrong place shows.
"""

import json
import random
from pathlib import Path

import numpy as np
import torch
import yaml

from hydra_ray.config import Config
from hydra_ray.config.head_kinds import joint_kind
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.pipeline.step import MANIFEST
from hydra_ray.serve.bundle import COMPONENTS, REPORT
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import fingerprint, load_scorer
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, write_heads
from tests.pipeline.fitted_world import make_config, write_base
from tests.serve.scripted_llm import NOBODY
from tests.training.tiny import make_encoder

NAME = "tiny-run"
USERS = [f"u{i:02d}" for i in range(50)]
WITH_HEADS = USERS[:30]
WORDS = [f"{first}{last}" for first in ("red", "old", "sea", "low", "far", "ice") for last in ("ship", "road", "hill")]
BUCKETS = 8
WIDTH = 224
"""A `dense` head is then 200 kB large: five fill the least cache that there is."""


def answers_of(user_id: str) -> list[str]:
    """The user's own labels."""
    return [f"w{user_id[1:]}{letter}" for letter in "abcd"]


def item_of(user_id: str, i: int) -> HistoryItem:
    """A user's i-th record, the same whenever it is asked for."""
    draw = random.Random(f"{user_id}-{i}")
    text = f"{user_id}-{i} " + " ".join(draw.choices(WORDS, k=12))
    return HistoryItem(f"{user_id}-{i}", text, text, draw.choice(answers_of(user_id)), f"2024-01-{i % 28 + 1:02d}")


def history_of(user_id: str) -> list[HistoryItem]:
    """What the run knows of a user."""
    return [item_of(user_id, i) for i in range(20)]


def write_run(folder: Path) -> Path:
    """The run's folder; `load_bundle` takes it."""
    folder = folder.resolve()
    # It knows the answers, too: two that it cannot tell apart have equal scores, whose order hangs on the last digit.
    answers = [answer for user in USERS for answer in answers_of(user)]
    make_encoder(folder / "encoder", [*WORDS, *USERS, *answers], spread=0.5)
    config = _config(folder)
    steps: dict[str, str] = {"ingest": "ingest-0"}
    _step(folder, "ingest-0")
    _ingest(folder / "runs" / "steps" / "ingest-0")
    for component in COMPONENTS:
        train, fit = (_step(folder, f"{stage}-{component}-0") for stage in ("train", "fit"))
        base = write_base(
            folder,
            config,
            f"runs/steps/{train.name}/{joint_kind(config.model.head)}",
            feature_width(config, component),
            0.5,
        )
        _heads(fit, base, config)
        steps |= {f"train-{component} seed 0": train.name, f"fit-{component} seed 0": fit.name}
    run = folder / "runs" / NAME
    write_steps(run, steps)
    (run / REPORT).write_text(json.dumps({"config": config.model_dump(mode="json")}))
    return run


def _config(folder: Path) -> Config:
    task = {
        "kind": "classification",
        "text_fields": ["text"],
        "answer_field": "answer",
        "instruction": "Answer as this person would.",
        "primary_metric": "accuracy",
        "labels": [NOBODY, *(answer for user in USERS for answer in answers_of(user))],
    }
    (folder / "whose.yaml").write_text(yaml.safe_dump(task))
    plain = make_config(folder, "dense").model_dump(mode="json")
    plain["name"] = NAME
    plain["data"] |= {"task": str(folder / "whose.yaml"), "buckets": BUCKETS}
    plain["model"]["pair_dim"] = WIDTH
    plain["protocol"] |= {"pseudo_queries": 3, "seeds": [0]}
    plain["retrieval"]["top_n"] = 4
    plain["reranker"] |= {"top_k": 2, "features": "score_and_recency", "num_history_queries": 2}
    plain["adapter"] |= {"num_samples": 4, "features": True, "num_history_queries": 2}
    plain["fit"]["epochs"] = 3
    plain["llm"] |= {"retries": 1, "retry_backoff_s": 0.2, "timeout_s": 20.0}
    plain["llm"]["serve"]["max_model_len"] = 1 << 14  # two hundred labels stand in every prompt
    return Config.model_validate(plain)


def _step(folder: Path, name: str) -> Path:
    step = folder / "runs" / "steps" / name
    step.mkdir(parents=True)
    (step / MANIFEST).write_text(json.dumps({"counts": {"l2": 0.01}}))
    return step


def _ingest(folder: Path) -> None:
    by_bucket: dict[int, list[str]] = {}
    for user in USERS:
        by_bucket.setdefault(bucket_of(user, BUCKETS), []).append(user)
    for bucket, some in by_bucket.items():
        with BucketWriter(folder, bucket) as writer:
            for user in some:
                writer.add(User(user, "test", tuple(history_of(user))))
    (folder / "counts.json").write_text(json.dumps({"buckets": BUCKETS}))


def _heads(fit: Path, base: Path, config: Config) -> None:
    """Random heads, large enough that no two users' scores are alike."""
    model = config.model
    shapes = load_scorer(base, model.head).head.delta_shapes()
    spec = HeadSpec(model.head, model.pair_dim, model.rank, shapes, fingerprint(base), BUCKETS)
    by_bucket: dict[int, list[str]] = {}
    for user in WITH_HEADS:
        by_bucket.setdefault(bucket_of(user, BUCKETS), []).append(user)
    rows = []
    for bucket, some in by_bucket.items():
        drawn = {
            name: torch.from_numpy(np.stack([head(user, shape) for user in some])) for name, shape in shapes.items()
        }
        rows.append(HeadsOfBucket(bucket, some, drawn))
    write_heads(fit, spec, rows)


def head(seed: str, shape: tuple[int, ...]) -> np.ndarray:
    """One tensor of a head, drawn by `seed`."""
    drawn = np.random.default_rng(list(f"{seed}{shape}".encode())).normal(size=shape)
    return (drawn / np.sqrt(shape[0])).astype(np.float32)
